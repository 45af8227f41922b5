// Spreads the collections that grow over the shards of a sharded MongoDB 8, as an administrator, through a mongos:
//
//   python -m backend.prepare                     with MONGODB_URL naming the mongos: collections, validators, indexes
//   mongosh mongodb://mongos-1/qless scripts/deploy/shard-mongodb.js
//
// Before the first shopper it takes seconds. It may be repeated. On a database that is in use MongoDB builds the
// index and moves chunks while it serves; rehearse that on a copy.
//
// NOT RUN: no mongos was to be had where this was written. tests/unit/test_sharding.py holds its two tables against
// the application's collections and unique indexes; nobody has seen it on a cluster.
//
// Why hashed: ids begin with the time, so ranges of them would send everything new to one shard.
// Why these keys: MongoDB keeps a unique index only within a shard. It holds over all shards when the shard key is a
// prefix of it, as all documents with the same key are on the same shard. `_id` too is unique only within a shard,
// unless it is the key: where it is not, it must be an id that is not made twice.

const SHARDED = {
  // All events of a cart on one shard, so that its unique `_id` {s, n} goes on deciding who was first. A tail is asked
  // of one shard, as it names `_id.s`; a group commit goes to all of them at once; the head check asks all of them.
  cart_events: { "_id.s": "hashed" },

  // Loaded and saved by `_id`. A user's and a store's carts, and the idle ones, are asked of all shards, by index.
  sessions: { _id: "hashed" },

  // Taken and given up by `_id`, the host.
  hosts: { _id: "hashed" },

  // Found by `_id`, the digest of the token.
  join_links: { _id: "hashed" },

  // Kept, found and counted up by `_id`, the quote.
  checkouts: { _id: "hashed" },

  // One order a checkout: the unique index decides the key. Written once; an order by its id, and a user's history,
  // are asked of all shards, by index.
  orders: { checkout_id: "hashed" },

  // The inbox: a second delivery is a duplicate `_id`, gateway and event id.
  webhook_events: { _id: "hashed" },

  // Kept and moved on by `_id`; those of a payment are asked of all shards, by index.
  refunds: { _id: "hashed" },

  // Nothing is entered twice: `_id` says which capture or refund it was. Sums are made on all shards, by index.
  money_ledger: { _id: "hashed" },

  // Taken and answered by `_id`, a digest of caller and key.
  idempotency_keys: { _id: "hashed" },

  // Issued, renewed and used up by `_id`, the order: one shard decides who was first.
  exit_passes: { _id: "hashed" },

  // A scan's answer, decided by its unique `_id`: store, gate, kind, nonce. A trail is asked of all shards, by index.
  gate_events: { _id: "hashed" },

  // One entry of a kind an order: the unique index decides the key. A balance is summed up on all shards, by index.
  points_ledger: { order_id: "hashed" },
};

// These stay whole, on the database's primary shard. In MongoDB 8 `sh.moveCollection` gives one a shard of its own.
const WHOLE = {
  payments: "unique by checkout, payer and attempt, while every step of a payment names `_id` alone: no key serves both",
  outbox: "claimed by what is due, whichever it is; rows are forgotten 7 days after they are done",
  users: "the phone and the e-mail are unique, each by itself: no key is a prefix of both",
  logins: "every request joins its login to its user in one question; forgotten when they expire",
  gate_devices: "few; each request of one finds it by its id",
  products: "each of a product's barcodes is unique, and a key cannot be a list; read through the caches",
  stores: "few; every process holds them",
  exit_keys: "few; read as a whole",
};

const names = db.getCollectionNames();
const unknown = names.filter((name) => !name.startsWith("system.") && !(name in SHARDED) && !(name in WHOLE));
const missing = Object.keys(SHARDED).filter((name) => !names.includes(name));
if (unknown.length || missing.length) {
  throw new Error(`not named here: ${unknown}; not there, run backend.prepare first: ${missing}`);
}

for (const [name, key] of Object.entries(SHARDED)) {
  db.getCollection(name).createIndex(key, { name: "shard_key" }); // a collection with documents needs it beforehand
  sh.shardCollection(`${db.getName()}.${name}`, key);
  print(`${name}: sharded by ${JSON.stringify(key)}`);
}
for (const [name, why] of Object.entries(WHOLE)) {
  print(`${name}: whole; ${why}`);
}
