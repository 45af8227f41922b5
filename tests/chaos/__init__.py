"""What must never happen, tried out on real processes: two servers, mongods, a redis-server, phones that retry.

Clients shop (`shopping`) over real sockets (`phone`) and HTTP (`till`) while servers, mongods and Redis are killed,
frozen and restarted (`machines`). Every client keeps a diary (`diary`) of what it sent and was told. Afterwards
`checker`, which shares no code with the server, compares the diaries with the raw documents of the log, and `timing`
says how late the screens were. Shoppers who pay (`buyer`, `trips`) do so at the real sandbox gateway, a process of its
own (`simulator`), whose webhooks come three times, late, out of order or not at all; `accounting` compares what they
were told, the raw documents, and what the gateway took and gave back. The goals are R1, R4, R6, R10, R11, R12, R13
and R16.

    scripts/test tests/chaos                    a few trials of each: five minutes
    scripts/test tests/chaos --full             all trials: an hour
    scripts/test tests/chaos --seed 123         the random choices of the run that printed 123
    scripts/chaos --kills 50                    `test_till_kills` alone, with a report to be read

Each run prints its n and its seed. A seed repeats what the clients and the trouble-makers choose; when that meets
what is up to the machine.

| file | trouble | quick | `--full` |
|---|---|---|---|
| `test_kills` | `kill -9` of a server, of mongod, of Redis, each at random moments | 10 each | 200 each |
| `test_till_kills` | the same while people pay, cancel, pay late or twice, are refunded and leave | 10 each | 200 each |
| `test_webhook_storm` | events come 3 to 10 times to two servers, one killed, one restarted | 100 events | 1,000 |
| `test_gateway_away` | webhooks are lost and the gateway is silent; then it is back | 12 payments, 8 s | 120, 7 min |
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

Where people pay: every capture in the gateway's books is one order with one pass, or went back; the ledger is those
books, entry by entry; one scan of all opened a gate; a key had one effect; what was answered with 2xx is in the inbox;
a minute after the last kill nothing waits, is locked or is on its way.
"""
