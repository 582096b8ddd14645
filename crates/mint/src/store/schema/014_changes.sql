-- Which parts of the directory have changed, so that a picture in memory reads those alone anew: each change gives the
-- part the next number. Triggers write it, whoever changes a table, and in the same transaction.
CREATE TABLE change (
    part   TEXT NOT NULL CHECK (part IN ('subject', 'site', 'orders')),
    -- The subject; of a site and of its standing orders the site.
    name   TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (part, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_number ON change (number);

-- Where triggers put what has changed.
CREATE VIEW changed AS SELECT part, name FROM change;
CREATE TRIGGER changed_put INSTEAD OF INSERT ON changed BEGIN
    INSERT INTO change SELECT NEW.part, NEW.name, 0
     WHERE NOT EXISTS (SELECT 1 FROM change WHERE part = NEW.part AND name = NEW.name);
    UPDATE change SET number = (SELECT max(number) + 1 FROM change) WHERE part = NEW.part AND name = NEW.name;
END;

CREATE TRIGGER subject_i AFTER INSERT ON subject BEGIN
    INSERT INTO changed VALUES ('subject', NEW.name);
END;
CREATE TRIGGER subject_u AFTER UPDATE ON subject BEGIN
    INSERT INTO changed VALUES ('subject', OLD.name), ('subject', NEW.name);
END;
CREATE TRIGGER subject_d AFTER DELETE ON subject BEGIN
    INSERT INTO changed VALUES ('subject', OLD.name);
END;
CREATE TRIGGER subject_role_i AFTER INSERT ON subject_role BEGIN
    INSERT INTO changed VALUES ('subject', NEW.subject);
END;
CREATE TRIGGER subject_role_u AFTER UPDATE ON subject_role BEGIN
    INSERT INTO changed VALUES ('subject', OLD.subject), ('subject', NEW.subject);
END;
CREATE TRIGGER subject_role_d AFTER DELETE ON subject_role BEGIN
    INSERT INTO changed VALUES ('subject', OLD.subject);
END;
CREATE TRIGGER team_member_i AFTER INSERT ON team_member BEGIN
    INSERT INTO changed VALUES ('subject', NEW.subject);
END;
CREATE TRIGGER team_member_u AFTER UPDATE ON team_member BEGIN
    INSERT INTO changed VALUES ('subject', OLD.subject), ('subject', NEW.subject);
END;
CREATE TRIGGER team_member_d AFTER DELETE ON team_member BEGIN
    INSERT INTO changed VALUES ('subject', OLD.subject);
END;
-- What a group is and holds shows in its members.
CREATE TRIGGER team_i AFTER INSERT ON team BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team = NEW.name;
END;
CREATE TRIGGER team_u AFTER UPDATE ON team BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team IN (OLD.name, NEW.name);
END;
CREATE TRIGGER team_d AFTER DELETE ON team BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team = OLD.name;
END;
CREATE TRIGGER team_role_i AFTER INSERT ON team_role BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team = NEW.team;
END;
CREATE TRIGGER team_role_u AFTER UPDATE ON team_role BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team IN (OLD.team, NEW.team);
END;
CREATE TRIGGER team_role_d AFTER DELETE ON team_role BEGIN
    INSERT INTO changed SELECT 'subject', subject FROM team_member WHERE team = OLD.team;
END;

CREATE TRIGGER site_i AFTER INSERT ON site BEGIN
    INSERT INTO changed VALUES ('site', NEW.name);
END;
CREATE TRIGGER site_u AFTER UPDATE ON site BEGIN
    INSERT INTO changed VALUES ('site', OLD.name), ('site', NEW.name);
END;
CREATE TRIGGER site_d AFTER DELETE ON site BEGIN
    INSERT INTO changed VALUES ('site', OLD.name);
END;
CREATE TRIGGER audience_i AFTER INSERT ON audience BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER audience_u AFTER UPDATE ON audience BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER audience_d AFTER DELETE ON audience BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
CREATE TRIGGER token_key_i AFTER INSERT ON token_key BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER token_key_u AFTER UPDATE ON token_key BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER token_key_d AFTER DELETE ON token_key BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
CREATE TRIGGER release_document_i AFTER INSERT ON release_document BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER release_document_u AFTER UPDATE ON release_document BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER release_document_d AFTER DELETE ON release_document BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
CREATE TRIGGER release_key_i AFTER INSERT ON release_key BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER release_key_u AFTER UPDATE ON release_key BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER release_key_d AFTER DELETE ON release_key BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
CREATE TRIGGER bundle_i AFTER INSERT ON bundle BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER bundle_u AFTER UPDATE ON bundle BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER bundle_d AFTER DELETE ON bundle BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
-- Of what is revoked the directory knows the keys alone.
CREATE TRIGGER revocation_i AFTER INSERT ON revocation WHEN NEW.kind = 'key' BEGIN
    INSERT INTO changed VALUES ('site', NEW.site);
END;
CREATE TRIGGER revocation_u AFTER UPDATE ON revocation WHEN 'key' IN (OLD.kind, NEW.kind) BEGIN
    INSERT INTO changed VALUES ('site', OLD.site), ('site', NEW.site);
END;
CREATE TRIGGER revocation_d AFTER DELETE ON revocation WHEN OLD.kind = 'key' BEGIN
    INSERT INTO changed VALUES ('site', OLD.site);
END;
CREATE TRIGGER destruction_i AFTER INSERT ON destruction BEGIN
    INSERT INTO changed SELECT 'site', site FROM token_key WHERE path = NEW.path;
END;
CREATE TRIGGER destruction_u AFTER UPDATE ON destruction BEGIN
    INSERT INTO changed SELECT 'site', site FROM token_key WHERE path IN (OLD.path, NEW.path);
END;
CREATE TRIGGER destruction_d AFTER DELETE ON destruction BEGIN
    INSERT INTO changed SELECT 'site', site FROM token_key WHERE path = OLD.path;
END;

CREATE TRIGGER standing_order_i AFTER INSERT ON standing_order BEGIN
    INSERT INTO changed VALUES ('orders', NEW.site);
END;
CREATE TRIGGER standing_order_u AFTER UPDATE ON standing_order BEGIN
    INSERT INTO changed VALUES ('orders', OLD.site), ('orders', NEW.site);
END;
CREATE TRIGGER standing_order_d AFTER DELETE ON standing_order BEGIN
    INSERT INTO changed VALUES ('orders', OLD.site);
END;

-- Asked for every subject, every site and every destroyed key of a large realm.
CREATE INDEX team_member_subject ON team_member (subject);
CREATE INDEX token_key_path ON token_key (path);
CREATE INDEX audience_site ON audience (site);
CREATE INDEX standing_order_site ON standing_order (site);
-- By site and number: the newest one of a site, and what came since a bundle.
CREATE INDEX revocation_site ON revocation (site);
