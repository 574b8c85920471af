-- ARGV: half the window, most lanes. Returns lane, generation, depth each.
local answer = {}
local low = call('ZRANGEBYSCORE', base .. 'spilled', '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for at = 1, #low, 2 do
  answer[#answer + 1] = low[at]
  answer[#answer + 1] = int(open(low[at]).gen)
  answer[#answer + 1] = low[at + 1]
end
return answer
