-- Takes all entries or none, in the epoch that the gate knows.
-- KEYS  mark · spans · for each entry the set that its end lies in
-- ARGV  epoch · most entries · whether to take (1) or only to look (0) · for each entry: span, until, from, key
local mark = redis.call('HMGET', KEYS[1], 'epoch', 'forgotten', 'since', 'entries')
if mark[1] ~= ARGV[1] then
    return {'other', 0, '0'}
end
local entries = #KEYS - 2
for i = 1, entries do
    local at = 4 * i
    if tonumber(ARGV[at + 1]) <= tonumber(mark[2]) then
        return {'forgotten', i, mark[2]}
    end
    if tonumber(ARGV[at + 2]) <= tonumber(mark[3]) then
        return {'before', i, mark[3]}
    end
    if redis.call('SISMEMBER', KEYS[i + 2], ARGV[at + 3]) == 1 then
        return {'seen', i, '0'}
    end
end
if tonumber(mark[4]) + entries > tonumber(ARGV[2]) then
    return {'full', 0, mark[4]}
end
if ARGV[3] == '1' then
    for i = 1, entries do
        local at = 4 * i
        redis.call('SADD', KEYS[i + 2], ARGV[at + 3])
        redis.call('ZADD', KEYS[2], ARGV[at], ARGV[at])
    end
    redis.call('HINCRBY', KEYS[1], 'entries', entries)
end
return {'taken', 0, mark[4]}
