"""What every slice may use and that knows no business word: time, ids, money, secrets, MongoDB, Redis, wire types.

`kit` imports no slice.
"""
