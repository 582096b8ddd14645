-- Whether what this Redis remembers is whole; if not, a new epoch begins, and with it what came before is unknown.
-- KEYS  mark
-- ARGV  run id · durable (1, 0) · evicted keys · an epoch, should one begin · now · whether something is lost (1, 0)
local mark = redis.call('HMGET', KEYS[1], 'epoch', 'run', 'evicted', 'durable', 'since')
local same = mark[2] == ARGV[1]
local kept = (same and mark[3] == ARGV[3])
    or (not same and mark[4] == '1' and ARGV[2] == '1' and ARGV[3] == '0')
if mark[1] and kept and ARGV[6] == '0' then
    redis.call('HSET', KEYS[1], 'run', ARGV[1], 'evicted', ARGV[3])
    if ARGV[2] == '0' then
        redis.call('HSET', KEYS[1], 'durable', '0')
    end
    return {mark[1], 'whole', mark[5]}
end
local since = ARGV[5]
if mark[5] and tonumber(mark[5]) > tonumber(since) then
    since = mark[5]
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'run', ARGV[1], 'evicted', ARGV[3], 'durable', ARGV[2], 'since', since)
redis.call('HSETNX', KEYS[1], 'forgotten', '0')
redis.call('HSETNX', KEYS[1], 'entries', '0')
return {ARGV[4], 'lost', since}
