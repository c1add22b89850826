"""pyHanko's validator, which fetches the CRL from the certificate's distribution point:
python check.py ISSUER.pem CERTIFICATE.pem
Prints `good` or `revoked`; any other answer is an exception."""

import asyncio
import sys

from asn1crypto import pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import RevokedError
from pyhanko_certvalidator.fetchers.aiohttp_fetchers import AIOHttpFetcherBackend


def certificate(file):
    with open(file, "rb") as opened:
        _, _, der = pem.unarmor(opened.read())
    return x509.Certificate.load(der)


async def verdict(issuer, subject):
    async with AIOHttpFetcherBackend() as fetchers:
        context = ValidationContext(
            trust_roots=[certificate(issuer)],
            fetchers=fetchers,
            allow_fetching=True,
            revocation_mode="require",
        )
        validator = CertificateValidator(certificate(subject), validation_context=context)
        try:
            await validator.async_validate_path()
        except RevokedError:
            return "revoked"
        return "good"


print(asyncio.run(verdict(*sys.argv[1:])))
