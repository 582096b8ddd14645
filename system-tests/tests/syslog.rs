//! Journals sent to a real rsyslog over every transport: what it wrote down is the journal, byte for byte.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use farside_system_tests::programs::{Server, free_address};
use farside_system_tests::sides::Sides;

/// What every receiver writes: the header as it understood it, and the message.
const TEMPLATE: &str = "%pri%|%app-name%|%msgid%|%structured-data%|%msg%\\n";

struct Rsyslog {
    server: Server,
    udp: SocketAddr,
    tcp: SocketAddr,
    tls: SocketAddr,
}

impl Rsyslog {
    /// Starts it on loopback with a certificate of its own; it writes one file for each way in.
    fn start(sides: &Sides) -> Rsyslog {
        let [udp, tcp, tls] = [free_address(), free_address(), free_address()];
        certificate(sides);
        let path = |name: &str| sides.path(name).display().to_string();
        let config = format!(
            r#"
global(workDirectory="{work}" maxMessageSize="128k"
       defaultNetstreamDriverCAFile="{certificate}"
       defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" sysSock.use="off")
template(name="all" type="string" string="{TEMPLATE}")
ruleset(name="udp") {{ action(type="omfile" file="{work}/udp.log" template="all") }}
ruleset(name="tcp") {{ action(type="omfile" file="{work}/tcp.log" template="all") }}
ruleset(name="tls") {{ action(type="omfile" file="{work}/tls.log" template="all") }}
ruleset(name="unix") {{ action(type="omfile" file="{work}/unix.log" template="all") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="udp")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="tcp")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="tls"
      streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imuxsock" socket="{work}/syslog.sock" ruleset="unix" useSpecialParser="off" parseHostname="on"
      rateLimit.interval="0" usePIDFromSystem="off" useSysTimestamp="off")
"#,
            work = sides.folder().display(),
            certificate = path("receiver.pem"),
            key = path("receiver.key"),
            udp = udp.port(),
            tcp = tcp.port(),
            tls = tls.port(),
        );
        sides.put("rsyslog.conf", config.as_bytes());
        let mut command = Command::new("rsyslogd");
        command.args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("rsyslog.pid")]);
        let mut server = Server::start(command);
        server.wait_for(tcp).wait_for(tls);
        server.wait_until("its socket is there", || sides.path("syslog.sock").exists());
        Rsyslog { server, udp, tcp, tls }
    }
}

fn certificate(sides: &Sides) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    sides.put("receiver.pem", made.cert.pem().as_bytes());
    sides.put("receiver.key", made.signing_key.serialize_pem().as_bytes());
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        file.read_to_string(&mut text).expect("text");
    }
    text
}

#[test]
fn a_real_rsyslog_receives_the_journals_over_every_transport() {
    let sides = Sides::founded();
    let journal = sides.text("near/journal/mint-cli.jsonl");
    let lines: Vec<&str> = journal.lines().collect();
    let mut rsyslog = Rsyslog::start(&sides);
    let ways = [
        ("udp", format!("udp://{}", rsyslog.udp)),
        ("tcp", format!("tcp://{}", rsyslog.tcp)),
        ("tls", format!("tls://localhost:{} --ca receiver.pem", rsyslog.tls.port())),
        ("unix", "unix:syslog.sock".to_owned()),
    ];
    for (way, to) in ways {
        sides.farside(&format!("audit send --host moon near/journal/mint-cli.jsonl --to {to}"));
        let log = sides.path(&format!("{way}.log"));
        rsyslog
            .server
            .wait_until(&format!("all came by {way}"), || text(&log).lines().count() >= lines.len());
        for (received, line) in text(&log).lines().zip(&lines) {
            let parts: Vec<&str> = received.splitn(5, '|').collect();
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(parts[..2], ["110", "farside-mint"], "{way}: {received}");
            assert_eq!(Some(parts[2]), event["event"].as_str(), "{way}");
            let element = format!("journal=\"mint-cli\" n=\"{}\" hash={}", event["n"], event["hash"]);
            assert!(parts[3].contains(&element), "{way}: {received}");
            assert_eq!(parts[4].trim_start(), *line, "{way}: the line, byte for byte");
        }
    }
    assert!(rsyslog.server.stop().success());
}

#[test]
fn a_receiver_that_is_not_believed_gets_nothing() {
    let sides = Sides::founded();
    let rsyslog = Rsyslog::start(&sides);
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    sides.put("other.pem", other.cert.pem().as_bytes());
    let port = rsyslog.tls.port();
    for how in ["", "--ca other.pem"] {
        let to = format!("audit send near/journal --to tls://localhost:{port} {how}");
        sides.attempt(&to).expect_code(2);
    }
    assert!(rsyslog.server.stop().success());
    assert_eq!(text(&sides.path("tls.log")), "");
}

#[test]
fn what_was_sent_is_not_sent_again_and_what_came_since_is() {
    let sides = Sides::founded();
    let mut rsyslog = Rsyslog::start(&sides);
    let send = format!("audit send near/journal --cursor sent.json --to tcp://{} --json", rsyslog.tcp);
    let first = sides.farside(&send).json()["sent"].as_u64().expect("a number");
    assert!(first > 5);
    assert_eq!(sides.farside(&send).json()["sent"], 0);
    sides.mint("person disable grace");
    assert_eq!(sides.farside(&send).json()["sent"], 1);

    let mut following = Server::start(sides.command(&format!("{send} --follow")));
    sides.mint("person enable grace");
    let log = sides.path("tcp.log");
    following.wait_until("what is written meanwhile arrives", || text(&log).contains("subject_enabled"));
    drop(following);
    rsyslog.server.wait_until("all came", || text(&log).lines().count() as u64 == first + 2);
}
