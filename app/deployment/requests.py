"""A node that makes its own keys: the request that carries the public halves, and nothing else, to the authority.

Decides: the request's grammar, and that it is signed with the identity that it names: whoever copies a request cannot
change the key beside it. Refuses to know rosters and kits.
"""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.deployment import certificates, kit
from app.deployment.files import SECRET, new_folder, read, write_new
from arithmetic.errors import ConfigError
from secagg.primitives import BadKey, SigningKey, check_identity, digest, is_signed

SUFFIX: Final = ".request.json"
_READ_OUT, _GROUP = 20, 4


class _File(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-")
    )
    # A name becomes a folder, a service and a file: letters, digits and dashes do for all of them.
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    node_key: Annotated[str, Field(max_length=1000)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Request:
    """A node's public halves.

    Attributes:
        name: of the node.
        identity: Ed25519 public key, 32 bytes.
        node_key: authentication key for Flower, a line of OpenSSH.
    """

    name: str
    identity: bytes
    node_key: bytes

    @property
    def _signed(self) -> bytes:
        return digest(
            "node request", json.dumps([self.name, self.identity.hex(), self.node_key.decode()]).encode()
        )

    @property
    def fingerprint(self) -> str:
        """100 bits in five groups of four, to be read out to the authority."""
        text = base64.b32encode(self._signed).decode()[:_READ_OUT]
        return "-".join(text[at : at + _GROUP] for at in range(0, _READ_OUT, _GROUP))

    def to_text(self, identity: SigningKey) -> str:
        """The file, signed by the identity."""
        table = {
            "name": self.name, "identity": self.identity.hex(), "node-key": self.node_key.decode(),
            "signature": identity.sign(self._signed).hex(),
        }  # fmt: skip
        return json.dumps(table, indent=1) + "\n"

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """A request, checked.

        Raises:
            ConfigError: it is none; one sentence.
        """
        try:
            file = _File.model_validate(json.loads(data))
            request = cls(file.name, bytes.fromhex(file.identity), file.node_key.encode("ascii"))
            check_identity(request.identity)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise ConfigError(
                f"{source} is no request ({where or 'the whole'}); ask the node for a new one"
            ) from None
        except (ValueError, RecursionError):
            raise ConfigError(f"{source} is no request in JSON; ask the node for a new one") from None
        except BadKey as error:
            raise ConfigError(f"{source}: {error}; ask the node for a new one") from None
        certificates.check_node_public(request.node_key)
        if not is_signed(request.identity, request._signed, bytes.fromhex(file.signature)):
            raise ConfigError(f"{source} was changed after its node signed it; ask the node for it again")
        return request


def check_name(name: str) -> None:
    """Whether a node can be called this.

    Raises:
        ConfigError: it cannot.
    """
    try:
        _File.model_validate({"name": name, "identity": "0" * 64, "node-key": "", "signature": "0" * 128})
    except ValidationError:
        raise ConfigError(
            f"{name[:80]!r} is no name for a node; choose 1 to 63 lower-case letters, digits and dashes"
        ) from None


def make_keys(folder: Path, name: str) -> Request:
    """Make a node's own keys in a folder that exists, and say what of them is public.

    Raises:
        ConfigError: the name is none, or keys are there already.
        SetupError: they cannot be written.
    """
    check_name(name)
    identity, node = SigningKey.generate(os.urandom), certificates.make_node_key()
    write_new(folder / kit.IDENTITY, identity.to_pem(), SECRET)
    write_new(folder / kit.NODE_KEY, node.private, SECRET)
    write_new(folder / kit.NODE_PUBLIC, node.public)
    return Request(name, identity.public, node.public.strip())


def make_request(folder: Path, name: str) -> tuple[Request, Path]:
    """On the node: a new folder with its own keys, and the request for the authority.

    Raises:
        ConfigError: the folder is there already, or the name is none.
        SetupError: it cannot be written.
    """
    check_name(name)
    request = make_keys(new_folder(folder), name)
    path = folder / f"{name}{SUFFIX}"
    write_new(path, request.to_text(kit.read_identity(folder / kit.IDENTITY)))
    return request, path


def read_request(path: Path) -> Request:
    """The request in a file.

    Raises:
        ConfigError, SetupError: there is none.
    """
    return Request.parse(read(path), path.name)
