-- Asks Farside's gate about each request: `http-request lua.farside <audience> <read|write|safety>`.
--
-- It passes on the credential and whatever looks like a header of the gate's own, says what was received, sets
-- `txn.farside_admitted` to "yes" where the gate said 200, and otherwise answers with what the gate said. Where it fails the variable stays unset, and haproxy.cfg
-- lets nobody in.

local gate = os.getenv("FARSIDE_GATE")
-- The gate answers within two seconds, if only that it cannot judge. HAProxy asks up to four times before it gives up.
local answer_milliseconds_max = 2500

-- What servers behind a proxy take for one another: case, "_" and ".".
local function folded(name)
    return (name:lower():gsub("[_.]", "-"))
end

local function is_the_gates(name)
    return folded(name):sub(1, 10) == "x-farside-"
end

-- HAProxy counts a header's values from 0.
local function values_of(header)
    local values, index = {}, 0
    while header[index] ~= nil do
        values[#values + 1] = header[index]
        index = index + 1
    end
    return values
end

-- Both of two Authorization headers go along, so that the gate can refuse the two.
local function question(txn)
    local passed, headers = {}, txn.http:req_get_headers()
    for name, header in pairs(headers) do
        if name == "authorization" or name == "dpop" or is_the_gates(name) then
            passed[name] = values_of(header)
        end
    end
    -- What this proxy received, whatever the client says of it: `[proxy] request = "x-forwarded"` in gate.toml.
    passed["x-forwarded-method"] = { txn.f:method() }
    passed["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    passed["x-forwarded-host"] = values_of(headers["host"] or {})
    passed["x-forwarded-uri"] = { txn.f:pathq() }
    -- The certificate that the client has shown, where HAProxy asks for one (bind … ssl verify optional ca-ignore-err all):
    -- `certificate = "client-cert"` beside it.
    if txn.f:ssl_fc() == 1 and txn.f:ssl_c_used() == 1 then
        passed["client-cert"] = { ":" .. txn.c:base64(txn.f:ssl_c_der()) .. ":" }
    end
    return passed
end

-- Only what the gate says remains under its names.
local function name_the_holder(txn, said)
    for name in pairs(txn.http:req_get_headers()) do
        if is_the_gates(name) then
            txn.http:req_del_header(name)
        end
    end
    for name, header in pairs(said) do
        if is_the_gates(name) then
            txn.http:req_set_header(name, header[0])
        end
    end
end

local passed_back = { "www-authenticate", "retry-after", "content-type", "cache-control", "x-farside-freshness" }

local function refuse(txn, said)
    local reply = txn:reply({ status = said.status, body = said.body })
    for _, name in ipairs(passed_back) do
        local header = said.headers[name]
        if header ~= nil then
            for _, value in ipairs(values_of(header)) do
                reply:add_header(name, value)
            end
        end
    end
    txn:done(reply)
end

core.register_action("farside", { "http-req" }, function(txn, audience, action)
    txn:unset_var("txn.farside_admitted")
    local said = core.httpclient():get({
        url = gate .. "/verify?aud=" .. audience .. "&action=" .. action,
        headers = question(txn),
        timeout = answer_milliseconds_max,
    })
    if said.status == 200 then
        name_the_holder(txn, said.headers)
        txn:set_var("txn.farside_admitted", "yes")
    elseif said.status ~= nil and said.status >= 400 and said.status < 600 then
        refuse(txn, said)
    end
end, 2)
