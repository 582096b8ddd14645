-- Lets go of a set in which everything has expired.
-- KEYS  mark · spans · the set
-- ARGV  epoch · span · its end
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
    return 0
end
local gone = redis.call('SCARD', KEYS[3])
local left = tonumber(redis.call('HGET', KEYS[1], 'entries')) - gone
if left < 0 then
    left = 0
end
if tonumber(ARGV[3]) > tonumber(redis.call('HGET', KEYS[1], 'forgotten')) then
    redis.call('HSET', KEYS[1], 'forgotten', ARGV[3])
end
redis.call('HSET', KEYS[1], 'entries', left)
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('UNLINK', KEYS[3])
return gone
