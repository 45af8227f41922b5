"""What must never happen, tried out on real processes: two servers, mongods, a redis-server, phones that retry.

Clients shop (`shopping`) over real sockets (`phone`) and HTTP (`till`) while servers, mongods and Redis are killed,
frozen and restarted (`machines`). Every client keeps a diary (`diary`) of what it sent and was told. Afterwards
`checker`, which shares no code with the server, compares the diaries with the raw documents of the log, and `timing`
says how late the screens were. The goals are R1 (its first clause), R10, R11, R12, R13 and R16.

    scripts/test tests/chaos                    a few trials of each: two to three minutes
    scripts/test tests/chaos --full             all trials: an hour
    scripts/test tests/chaos --seed 123         the random choices of the run that printed 123

Each run prints its n and its seed. A seed repeats what the clients and the trouble-makers choose; when that meets
what is up to the machine.

| file | trouble | quick | `--full` |
|---|---|---|---|
| `test_kills` | `kill -9` of a server, of mongod, of Redis, each at random moments | 10 each | 200 each |
| `test_crowd` | eight members do random things at once, at two servers | 40 each | 500 each |
| `test_checkout_race` | a family goes on scanning while one of them pays; some payments fail first | 12 | 400 |
| `test_cuts` | sockets are cut and Redis restarts | 40 sockets, 60 cuts, 3 restarts | 200, 1,000, 50 |
| `test_no_redis` | no Redis; people scan, pay and leave | 8 s | 10 min |
| `test_replica_set` | the primary of three is killed, is frozen; no MongoDB at all | 1, 1, 5 s | 20, 20, 30 s |
| `test_restarts` | SIGTERM to a server under load | 2 | 20 |

Zero failures in n trials bound the rate by 3/n.

In every run: an acknowledged command is in the log exactly once, at the seq that was told; a refused one is not in it;
seq has no gap; lines and totals follow from what the clients sent; each frame, each snapshot and each last screen is
the log's; no screen goes back; every gap is asked for; every command has a final answer.
"""
