"""Who may join a cluster: Dask runs whatever it is sent, so beyond loopback there is nothing without TLS.

One certificate is everybody's: who has its key may send stages to every worker, run code there, and read what they
return. It is as secret as a password to all these machines.
"""

import datetime
import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import STATE

CERTIFICATES = STATE / "certificates"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
VALID_DAYS = 365
COPY = "Copy the folder into every other checkout of the cluster, as you would a private key: over SSH."
MAKE = "tenfold certificates makes some, for you to copy to every machine"


def make(folder: Path) -> Path:
    """Write a new certificate and its key; returns the folder.

    Raises:
        UserError: there are some already.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    if (folder / KEY).exists():
        raise UserError(f"{folder} has certificates already: remove the folder on every machine to make others.")
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tenfold")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # the clocks of a cluster differ
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA384())
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    (folder / CERTIFICATE).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder


def security(address: str, folder: Path) -> Any:
    """How to talk to an address: Dask's settings of TLS, or None on loopback.

    Raises:
        UserError: it is plain TCP beyond loopback, or the certificates are not here.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in ("tcp", "tls") or not rest.rpartition(":")[2].isdigit():
        raise UserError(f"{address} is no address of a scheduler: it looks like tls://10.0.0.5:8786.")
    host = rest.rpartition(":")[0].strip("[]")
    if scheme == "tcp":
        if not is_loopback(host):
            raise UserError(
                f"{address} is plain TCP, over which anybody in that network could run code here: use tls://{rest}. "
                f"It needs certificates: {MAKE}."
            )
        return None
    certificate, key = folder / CERTIFICATE, folder / KEY
    if not (certificate.exists() and key.exists()):
        raise UserError(f"{folder} has no certificates for {address}: {MAKE}.")
    if key.stat().st_mode & 0o077:
        raise UserError(f"Others may read {key}, which lets them run code on every machine: chmod 600 {key}.")
    from distributed.security import Security

    own = {f"tls_{role}_{what}": str(path) for role in ("client", "scheduler", "worker")
           for what, path in (("cert", certificate), ("key", key))}  # fmt: skip
    return Security(require_encryption=True, tls_ca_file=str(certificate), **own)


def is_loopback(host: str) -> bool:
    """Whether nobody else can reach an address by this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_address(towards: str) -> str:
    """The address of this machine by which another one at `towards` (tls://host:port) sees it."""
    host, _, port = towards.partition("://")[2].rpartition(":")
    family = socket.AF_INET6 if ":" in host.strip("[]") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host.strip("[]"), int(port)))  # nothing is sent
        except OSError as problem:
            raise UserError(f"There is no way from here to {towards} ({problem}).") from problem
        found: str = probe.getsockname()[0]
        return found
