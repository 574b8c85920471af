-- ARGV for each job: lane, job
local answers = {}
for at = 1, #ARGV, 2 do
  answers[#answers + 1] = call('HEXISTS', base .. 'f:' .. ARGV[at], ARGV[at + 1])
end
return answers
