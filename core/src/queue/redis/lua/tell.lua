-- ARGV: what is told, how many of the last are kept
local n = call('INCR', base .. 'news:n')
call('XADD', base .. 'news', 'MAXLEN', ARGV[2], '*', 'n', n, 'b', ARGV[1])
return n
