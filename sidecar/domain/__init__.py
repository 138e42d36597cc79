"""The vocabulary and the pure rules of the product: no I/O, no clock, no asyncio.

One word for each thing, one thing for each word:

customer          Who pays. Holds one balance per unit; all its keys lie in one partition.
unit              What is counted (``credits``, ``tokens``, …); declares its ``scale``.
amount            An integer of base units, 0 ≤ n ≤ 2^53 − 1. ``credits`` has scale 6: one credit = 1,000,000.
grant             The act of giving an amount to a customer.
balance           ``available``, ``held``, ``spent``, ``owed``, ``granted`` of a customer in one unit, kept apart.
reservation       The record of one amount set aside for one request, with a deadline.
hold              The amount that a reservation sets aside.
reserve           Set an amount aside before the request is forwarded.
commit            Charge the real cost, return what is left of the hold.
release           Return the whole hold.
expire            A deadline passed and the sweep released the hold.
settle            Commit or release, whichever it is; it takes effect once.
owe, debt         The part of a cost that neither hold nor balance covered; the next grant repays it.
journal           One append-only line for each change of what somebody owns or owes.
rule              A metering rule: what it matches, what it meters, what it costs, what it holds.
meter             A named measure of use (``input_tokens``, ``response_bytes``, …).
usage             What the meters read for one request.
price             How usage becomes an amount.
refusal           The product working: a named answer to a request that may not pass.
proxy key         A secret of a customer that identifies its requests; stored hashed.
client, upstream  The two ends of the proxy.
"""
