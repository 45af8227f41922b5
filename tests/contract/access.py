"""Who may do what: one row a route (by its `operationId`) and one a command of the socket, ten kinds of people.

A new route needs a row here and a valid request in `requests.py`, a new frame one in `commands.py`; tests say so when it
is missing. `+word` behind a name is the same route asked in another way; `+theirs` asks the other store about what is of
the cart's. `python -m tests.contract.access` prints the table with whole codes.

    nobody     without a token
    guest      a guest who shops nowhere
    owner      the host of a cart, who pays for it; what the request is about is theirs
    member     another adult of that cart
    removed    was a member until the host showed them out
    other      a customer with a cart of their own in the same store
    cashier, gate, manager    work at the store of the cart
    elsewhere  the manager of another store
"""

from enum import StrEnum, auto
from typing import NamedTuple

OK = "ok"


class Who(StrEnum):
    """The columns, in their order."""

    NOBODY = auto()
    GUEST = auto()
    OWNER = auto()
    MEMBER = auto()
    REMOVED = auto()
    OTHER = auto()
    CASHIER = auto()
    GATE = auto()
    MANAGER = auto()
    ELSEWHERE = auto()


STRANGERS = {Who.NOBODY, Who.GUEST, Who.REMOVED, Who.OTHER, Who.ELSEWHERE}
"""Nobody of the cart and nobody of its store: no refusal may tell them that what they ask for exists."""

CODES = {
    "ok": OK,
    "sign": "not_authenticated",
    "role": "forbidden",
    "host": "host_only",
    "cart": "session_not_found",
    "link": "join_link_invalid",
    "quote": "quote_not_found",
    "pay": "payment_not_found",
    "order": "order_not_found",
    "known": "already_registered",
    "wrong": "wrong_credentials",
    "none": "not_found",
}
"""What stands in a cell, and the error code that it stands for."""

ROUTES = """
                      nobody guest owner member removed other cashier gate  manager elsewhere
register              ok     ok    ok    ok     ok      known known   known known   known
login                 ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
guest                 ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
refresh               ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
logout                sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
me                    sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
listLogins            sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
endOtherLogins        sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
endLogin              sign   none  ok    none   none    none  none    none  none    none
changePassword        sign   wrong wrong wrong  wrong   ok    ok      ok    ok      ok
setPassword           ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listStaff             sign   role  role  role   role    role  role    role  ok      role
addStaff              sign   role  role  role   role    role  role    role  ok      role
setStaffRole          sign   role  role  role   role    role  role    role  ok      role
setStaffRole+theirs   sign   role  role  role   role    role  role    role  role    none
removeStaff           sign   role  role  role   role    role  role    role  ok      role
removeStaff+theirs    sign   role  role  role   role    role  role    role  role    none
giveCode              sign   role  role  role   role    role  role    role  ok      role
giveCode+theirs       sign   role  role  role   role    role  role    role  role    none
listDevices           sign   role  role  role   role    role  role    role  ok      role
addDevice             sign   role  role  role   role    role  role    role  ok      role
revokeDevice          sign   role  role  role   role    role  role    role  ok      role
revokeDevice+theirs   sign   role  role  role   role    role  role    role  role    none
listStores            ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
getStore              ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listMarkets           ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listProducts          ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
searchProducts        ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listFeaturedProducts  ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listProductsOfCategory ok    ok    ok    ok     ok      ok    ok      ok    ok      ok
getProduct            ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
getProduct+session    sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
search                ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
listCategories        ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
startSession          sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
joinSession           sign   ok    ok    ok     link    ok    ok      ok    ok      ok
getSession            sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
renewJoinLink         sign   cart  ok    host   cart    cart  cart    cart  cart    cart
endJoinLink           sign   cart  ok    host   cart    cart  cart    cart  cart    cart
restoreSession        sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
addItem               sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
removeItem            sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
calculate             sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
initiatePayment       sign   quote ok    quote  quote   quote quote   quote quote   quote
cancelPayment         sign   pay   ok    pay    pay     pay   pay     pay   pay     pay
refundPayment         sign   role  role  role   role    role  role    role  ok      pay
getPayment            sign   pay   ok    pay    pay     pay   pay     pay   ok      pay
receiveSandboxWebhook ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
receiveWebhook        ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
orderHistory          sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
getOrder              sign   order ok    order  order   order order   order order   order
generatePass          sign   order ok    order  order   order order   order order   order
revokePass            sign   role  role  role   role    role  role    role  ok      order
verifyPass            sign   role  role  role   role    role  role    ok    ok      role
verifyPass+theirs     sign   role  role  role   role    role  role    role  role    ok
releasePass           sign   role  role  role   role    role  role    ok    ok      role
gateEvents            sign   role  role  role   role    role  role    role  ok      role
rotateExitKeys        sign   role  role  role   role    role  role    role  ok      role
exitKeys              ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
rewardsBalance        sign   ok    ok    ok     ok      ok    ok      ok    ok      ok
live                  ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
ready                 ok     ok    ok    ok     ok      ok    ok      ok    ok      ok
"""
"""A webhook is let in by its signature, which every one of these requests has; a token neither helps nor harms."""

SOCKET = """
                      nobody guest owner member removed other cashier gate  manager elsewhere
hello                 sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
ping                  sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
add                   sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
set_quantity          sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
remove                sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
approve               sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
decline               sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
undo                  sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
set_budget            sign   cart  ok    host   cart    cart  cart    cart  cart    cart
set_role              sign   cart  ok    host   cart    cart  cart    cart  cart    cart
remove_member         sign   cart  ok    host   cart    cart  cart    cart  cart    cart
hand_over             sign   cart  ok    host   cart    cart  cart    cart  cart    cart
leave                 sign   cart  ok    ok     cart    cart  cart    cart  cart    cart
"""
"""Whoever is not in the cart is closed at `hello`: by 4401 where it says `sign`, by 4404 where it says `cart`."""


class Row(NamedTuple):
    """A route or a command, and what becomes of it for each of the ten."""

    name: str
    cells: dict[Who, str]

    @property
    def operation(self) -> str:
        """The `operationId`, or the `type` of the frame."""
        return self.name.partition("+")[0]

    @property
    def refusals_first(self) -> list[tuple[Who, str]]:
        """What is refused must leave the cart as it was for what is not."""
        return sorted(self.cells.items(), key=lambda cell: cell[1] == OK)


def rows(table: str) -> list[Row]:
    """The rows of one of the tables.

    Raises:
        ValueError, KeyError: a row has another number of cells, or one that is not in `CODES`.
    """
    head, *lines = table.strip("\n").splitlines()
    columns = [Who(word) for word in head.split()]
    found = []
    for line in lines:
        name, *cells = line.split()
        found.append(Row(name, dict(zip(columns, (CODES[cell] for cell in cells), strict=True))))
    return found


def main() -> None:
    """Print both tables, each cell with its whole code."""
    for table in (ROUTES, SOCKET):
        found = rows(table)
        widths = {who: max(len(who), *(len(row.cells[who]) for row in found)) for who in Who}
        print(" " * 24, *(f"{who:{widths[who]}}" for who in Who))
        for row in found:
            print(f"{row.name:24}", *(f"{row.cells[who]:{widths[who]}}" for who in Who))
        print()


if __name__ == "__main__":
    main()
