-- Writes the same value into claims whose questions were answered.
--
-- KEYS     the claims
-- ARGV[1]  the value
-- ARGV[2]  its time to live, milliseconds
for _, claim in ipairs(KEYS) do
  redis.call('SET', claim, ARGV[1], 'PX', ARGV[2])
end
