"""Fresh n-th residues mod n^2: what hides a plaintext, and what every operation multiplies in anew.

Decides: two ways to draw them. Refuses to know: plaintexts and ciphertexts.

`fresh_power` is the paper's: r^n mod n^2 for a uniform r, one exponentiation with an exponent of n's length.

`FixedBase` is for whoever encrypts often under one key: h = x^n mod n^2 for a secret uniform x of its own, once,
and then h^a for a uniform a below 2^(2 * bits of n + 128), by a comb over a table of powers of h (Lim and Lee,
CRYPTO 1994): a few hundred products each. Every h^a is an n-th residue, (x^a)^n, so decryption notices nothing.

It rests on no assumption beyond Paillier's own, that n-th residues look like uniform elements of Z*_(n^2)
(decisional composite residuosity, DCR):
put a uniform h' = (1 + n)^b y^n in the place of h, which DCR says nobody notices, whatever is drawn from it. Then
h'^a = (1 + n)^(a b mod n) (y^a)^n. The order of y^n divides lambda(n), which is below n / 2 and coprime to n; as `a`
is uniform over more than 2^128 n lambda(n) values, a mod n is uniform within 2^-128 even for one who knows
y^(a n), and b has an inverse mod n unless it gives away a factor. So (1 + n)^(a b) is a one-time pad over the
plaintext, for each of any number of draws with its own `a`.

Damgard, Jurik and Nielsen (IJIS 2010) take an exponent of half the length of n, four times faster yet. That needs one
more assumption: that powers of h with short exponents look like powers with long ones. The speed wanted here is
reached without, so it is not made. Nor is anybody's word taken for h: each party draws its own.
"""

from collections.abc import Callable
from typing import Final

import gmpy2

from paillier.keys import Entropy, Integer, PublicKey

# Gives an n-th residue mod n^2 that has not been used before.
Randomiser = Callable[[], Integer]

SLACK_BITS: Final = 128
# Rows of the comb, and how many tables share its columns: 255 * 8 numbers of the size of a ciphertext.
_ROWS, _TABLES = 8, 8


def fresh_power(public: PublicKey, entropy: Entropy) -> Integer:
    """r^n mod n^2 for a fresh uniform r in Z*_n (Paillier 1999, scheme 1)."""
    return gmpy2.powmod(_unit(public, entropy), public.modulus, public.square)


def fresh_powers(public: PublicKey, entropy: Entropy) -> Randomiser:
    """A randomiser that needs no preparation: `fresh_power` each time."""
    return lambda: fresh_power(public, entropy)


class FixedBase:
    """A randomiser from a table of powers of one secret n-th residue; hides itself in `repr`.

    Making the table costs three to four of `fresh_power`, each draw a quarter of one. It holds 2040 numbers of
    the size of a ciphertext: 1.6 MB for a key of 3072 bits.

    Args:
        public: the key.
        entropy: source of the base and of every exponent; `os.urandom` outside tests.
    """

    def __init__(self, public: PublicKey, entropy: Entropy) -> None:
        self._square = public.square
        self._entropy = entropy
        self.exponent_bits = 2 * public.bits + SLACK_BITS
        # The exponent's bits stand in _ROWS rows of `width`; a column is one table look-up, and column j of
        # table k is number k * depth + j of its row.
        self._depth = -(-self.exponent_bits // (_ROWS * _TABLES))
        self._tables = self._powers(fresh_power(public, entropy))

    def __repr__(self) -> str:
        return "FixedBase(<secret>)"

    @property
    def size(self) -> int:
        """Bytes of the table's numbers."""
        return sum(int(entry.bit_length()) for table in self._tables for entry in table) // 8

    def __call__(self) -> Integer:
        """h^a for a fresh uniform a."""
        size = -(-self.exponent_bits // 8)
        exponent = int.from_bytes(self._entropy(size), "big") >> (8 * size - self.exponent_bits)
        return self._power(exponent)

    def _power(self, exponent: int) -> Integer:
        depth, square, tables = self._depth, self._square, self._tables
        width = depth * _TABLES
        bits = f"{exponent:0{width * _ROWS}b}"[::-1]
        rows = [bits[start : start + width] for start in range(0, width * _ROWS, width)]
        columns = [int("".join(column), 2) for column in zip(*reversed(rows), strict=True)]
        result = gmpy2.mpz(1)
        for place in reversed(range(depth)):
            result = result * result % square
            for table, column in zip(tables, columns[place::depth], strict=True):
                if column:
                    result = result * table[column] % square
        return result

    def _powers(self, base: Integer) -> list[list[Integer]]:
        """For each table, the products of any set of its rows' first powers, by the set as a bitmap."""
        depth, square = self._depth, self._square
        starts: list[Integer] = []
        power = base
        for _ in range(_ROWS * _TABLES):
            starts.append(power)
            power = gmpy2.powmod(power, 1 << depth, square)
        tables = []
        for number in range(_TABLES):
            table = [gmpy2.mpz(1)]
            for row in range(_ROWS):
                first = starts[row * _TABLES + number]
                table += [entry * first % square for entry in table]
            tables.append(table)
        return tables


def _unit(public: PublicKey, entropy: Entropy) -> Integer:
    """Uniform in Z*_n."""
    size = (public.bits + 7) // 8
    while True:
        drawn = gmpy2.mpz(int.from_bytes(entropy(size), "big") >> (8 * size - public.bits))
        if drawn < public.modulus and gmpy2.gcd(drawn, public.modulus) == 1:
            return drawn
