"""certificates.py - an authority of the test's own, and certificates by it, made with the openssl command."""

import base64
import hashlib
import os
import ssl
import subprocess


def _openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(words)}: {done.stderr}")


def key_pin(certificate):
    """The SHA-256 of a certificate's public key in base64, by which Chromium can be told to believe it."""
    pem = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, timeout=60, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, capture_output=True, timeout=60, check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        _openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-subj", "/CN=Serin Test Authority", "-keyout", "ca.key", "-out", "ca.pem")

    def path(self, file):
        return os.path.join(self.folder, file)

    def make(self, file, names, kind="ec", ended=False):
        """Makes FILE.pem and FILE.key for the names; gives what goes into the configuration's `tls`. One that has
        ended was good in January 2020."""
        key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
        with open(self.path(f"{file}.ext"), "w", encoding="utf-8") as out:
            out.write(f"subjectAltName={names}\n")
        _openssl(self.folder, "req", "-new", "-newkey", *key, "-nodes", "-subj", f"/CN={file}", "-keyout", f"{file}.key",
                 "-out", f"{file}.csr")
        if ended:
            self._sign_ended(file)
        else:
            _openssl(self.folder, "x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                     "-CAcreateserial", "-days", "10", "-extfile", f"{file}.ext", "-out", f"{file}.pem")
        return {"certificate": self.path(f"{file}.pem"), "key": self.path(f"{file}.key")}

    def _sign_ended(self, file):
        """Only `openssl ca` of OpenSSL 3.0 takes dates, and it wants to keep books."""
        with open(self.path("books.cnf"), "w", encoding="utf-8") as out:
            out.write("[ca]\ndefault_ca=books\n[books]\ndatabase=books.txt\nserial=books.serial\nnew_certs_dir=.\n"
                      "default_md=sha256\npolicy=any\nrand_serial=yes\n[any]\ncommonName=supplied\n")
        with open(self.path("books.txt"), "w", encoding="utf-8"):
            pass
        _openssl(self.folder, "ca", "-batch", "-notext", "-config", "books.cnf", "-in", f"{file}.csr", "-cert", "ca.pem",
                 "-keyfile", "ca.key", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile",
                 f"{file}.ext", "-out", f"{file}.pem")

    def context(self, **wishes):
        """A client's context that trusts this authority alone."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.set_alpn_protocols(wishes.get("protocols", ["http/1.1"]))
        if "most" in wishes:
            context.maximum_version = wishes["most"]
        if "certificate" in wishes:
            context.load_cert_chain(wishes["certificate"]["certificate"], wishes["certificate"]["key"])
        return context
