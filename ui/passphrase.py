"""The passphrase of a shared server, kept as it is or as a hash that does not give it away.

`.venv/bin/python -m ui.passphrase` asks for one and writes the line for the passphrase file.
"""

import base64
import getpass
import hashlib
import hmac
import re
import secrets
import sys

KIND = "scrypt"
COST, BLOCK, LANES = 2**15, 8, 1
"""Of scrypt: about 32 MB and a tenth of a second for each try."""
MOST_BYTES = 2**26
LINE = re.compile(r"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]{16,})\$([A-Za-z0-9+/=]{40,})")


def hashed(passphrase: str) -> str:
    """Return the hash of a passphrase, with its salt and cost, as one line."""
    salt = secrets.token_bytes(16)
    found = _scrypt(passphrase, salt, COST, BLOCK, LANES)
    salt_text, found_text = (base64.b64encode(part).decode() for part in (salt, found))
    return f"{KIND}${COST}${BLOCK}${LANES}${salt_text}${found_text}"


def is_hash(known: str) -> bool:
    """Tell whether this is a hash, not a passphrase."""
    return known.startswith(f"{KIND}$")


def is_sound(known: str) -> bool:
    """Tell whether a hash can be compared with: its parts are there, and its cost can be paid."""
    found = LINE.fullmatch(known)
    if found is None:
        return False
    cost, block, lanes = map(int, found.groups()[:3])
    return cost > 1 and cost & (cost - 1) == 0 and block * lanes > 0 and 128 * cost * block <= MOST_BYTES


def matches(given: str, known: str) -> bool:
    """Tell whether this is the passphrase; takes the same time whatever is given."""
    if not is_hash(known):
        one, other = (hashlib.sha256(text.encode()).digest() for text in (given, known))
        return hmac.compare_digest(one, other)
    cost, block, lanes, salt, right = LINE.fullmatch(known).groups()
    found = _scrypt(given, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(right))


def _scrypt(text: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(text.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=2 * MOST_BYTES, dklen=32)


if __name__ == "__main__":
    sys.stdout.write(hashed(getpass.getpass("Passphrase: ")) + "\n")
