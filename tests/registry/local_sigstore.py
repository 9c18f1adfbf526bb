"""A Sigstore on this machine: identity tokens, a certificate authority, a transparency log.

It speaks the protocols of GitHub's tokens, Fulcio v2 and Rekor v1, as far as a client that signs a
statement asks. Each entry of its log is the only one of a tree.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

ISSUER = "https://token.actions.githubusercontent.com"
FULCIO_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
EVER = {"start": "2020-01-01T00:00:00Z"}


def b64(data):
    return base64.b64encode(data).decode()


def der(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


class LocalSigstore:
    """Its keys, and the workflow whose identity it vouches for."""

    def __init__(self, workflow):
        self.workflow = workflow
        self.root_key, self.ct_key, self.log_key = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local sigstore")])
        now = datetime.datetime.now(datetime.UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self.root_key.public_key())
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.root_key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=400))
            .not_valid_after(now + datetime.timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(key_id, critical=False)
            .sign(self.root_key, hashes.SHA256())
        )

    @property
    def identity(self):
        return f"https://github.com/{self.workflow}"

    def token(self):
        """GitHub's answer to a run that asks for its identity."""
        now = datetime.datetime.now(datetime.UTC)
        claims = {
            "iss": ISSUER, "aud": "sigstore", "sub": "repo:org/hub", "iat": now,
            "exp": now + datetime.timedelta(minutes=5), "job_workflow_ref": self.workflow,
        }  # fmt: skip
        return {"value": jwt.encode(claims, "k" * 32, algorithm="HS256")}

    def certificate(self, asked):
        """Fulcio: a certificate of ten minutes for the identity, with the log's promise in it."""
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=5))
            .not_valid_after(now + datetime.timedelta(minutes=10))
            .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(authority, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.identity)]),
                critical=True,
            )
            .add_extension(
                x509.UnrecognizedExtension(FULCIO_ISSUER, ISSUER.encode()), critical=False
            )
        )
        body = builder.sign(self.root_key, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(now.timestamp() * 1000)
        entry = (
            hashlib.sha256(der(self.root_key)).digest() + struct.pack("!I", len(body))[1:] + body
        )
        signed = struct.pack("!BBQH", 0, 0, stamp, 1) + entry + struct.pack("!H", 0)
        signature = sign(self.ct_key, signed)
        log = hashlib.sha256(der(self.ct_key)).digest()
        sct = struct.pack("!B32sQHBBH", 0, log, stamp, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        promise = x509.UnrecognizedExtension(SCT_LIST, b"\x04" + bytes([len(listed)]) + listed)
        leaf = builder.add_extension(promise, critical=False).sign(self.root_key, hashes.SHA256())
        pems = [c.public_bytes(serialization.Encoding.PEM).decode() for c in (leaf, self.root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}

    def log_entry(self, asked):
        """Rekor: the entry of a DSSE envelope, its place in the tree, and two signatures."""
        content = asked["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": self._hash(content["envelope"].encode()),
                    "payloadHash": self._hash(base64.b64decode(envelope["payload"])),
                    "signatures": [
                        {"signature": s["sig"], "verifier": content["verifiers"][0]}
                        for s in envelope["signatures"]
                    ],
                },
            }
        )
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"local - 1\n1\n{b64(root)}\n"
        key_id = hashlib.sha256(der(self.log_key)).digest()
        stamp = b64(key_id[:4] + sign(self.log_key, note.encode()))
        entry = {
            "body": b64(body),
            "integratedTime": int(
                datetime.datetime.now(datetime.UTC).replace(microsecond=0).timestamp()
            ),
            "logID": key_id.hex(),
            "logIndex": 0,
        }
        promise = b64(sign(self.log_key, rfc8785.dumps(entry)))
        proof = {
            "checkpoint": f"{note}\n— local {stamp}\n", "hashes": [], "logIndex": 0,
            "rootHash": root.hex(), "treeSize": 1,
        }  # fmt: skip
        verification = {"inclusionProof": proof, "signedEntryTimestamp": promise}
        return {root.hex(): {**entry, "verification": verification}}

    @staticmethod
    def _hash(data):
        return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}

    def trust_config(self, address):
        """The client's trust configuration, as a file."""

        def key(private):
            return {
                "rawBytes": b64(der(private)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": EVER,
            }

        def log(private):
            name = {"keyId": b64(hashlib.sha256(der(private)).digest())}
            return {
                "baseUrl": address, "hashAlgorithm": "SHA2_256", "publicKey": key(private),
                "logId": name,
            }  # fmt: skip

        certificate = {"rawBytes": b64(self.root.public_bytes(serialization.Encoding.DER))}
        service = [{"url": address, "majorApiVersion": 1, "validFor": EVER, "operator": "local"}]
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [log(self.log_key)],
                    "certificateAuthorities": [
                        {
                            "subject": {"organization": "local", "commonName": "local sigstore"},
                            "uri": address,
                            "certChain": {"certificates": [certificate]},
                            "validFor": EVER,
                        }
                    ],
                    "ctlogs": [log(self.ct_key)],
                    "timestampAuthorities": [],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": service,
                    "oidcUrls": service,
                    "rekorTlogUrls": service,
                    "tsaUrls": [],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaConfig": {"selector": "ANY"},
                },
            }
        )

    def answer(self, path, asked):
        """The answer to a request at a path, None where there is nothing."""
        path = path.partition("?")[0]
        if path.endswith("openid-configuration"):
            return {"authorization_endpoint": ISSUER, "token_endpoint": ISSUER}
        found = {
            "/token": lambda _: self.token(),
            "/api/v2/signingCert": self.certificate,
            "/api/v1/log/entries": self.log_entry,
        }.get(path)
        return found and found(asked)


@contextmanager
def serving_sigstore(sigstore):
    """Its address while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer({})

        def do_POST(self):
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, asked):
            found = sigstore.answer(self.path, asked)
            data = json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
