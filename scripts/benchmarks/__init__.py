"""How fast a shared cart is, told by ratios to two other servers that run beside it on the same machine.

- `ours`: `backend.app`, every rule and check on.
- `floor`: the least a durable shared cart can do on this stack: no accounts, rules, prices or Redis.
- `plain`: the same idea built plainly: FastAPI and Motor, one update of the whole cart a scan.

Times on a machine say little, as it is never the same machine twice; the ratio of two servers that were
measured one right after the other says more. So a run goes in rounds: ours, floor, plain, ours, floor,
plain, ... A figure of the table is the median over the rounds, and a ratio is taken round by round.

Reading order: `floor` and `plain` (servers), `drivers` (how a client talks to each), `crowd`, `load` and `hold`
(the clients' processes, told by `plans`), `servers`, `seeded` and `bench` (what a run starts), then what is measured:
`compare`, `growth`, `processes`, `cost`; `figures`, `report` and `plot` (what comes of it); `profiled` and `parts` tell
where the time goes. All but the servers of others and the clients runs without the packages of `requirements.txt`.
"""
