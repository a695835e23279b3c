"""What `make install` puts below a folder: a program that runs, documents whose links lead somewhere, pages, completions."""

import hashlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, run  # noqa: E402

SOURCES = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# What documents link to that is not installed: the sources, and what is about them.
ELSEWHERE = re.compile(r"(proxy|router|metrics|tests|bench|\.ci|\.github)/|canary/(?!admin/openapi)|CONTRIBUTING\.md|CODE_OF_CONDUCT\.md|Makefile|Dockerfile")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def done(stage, *command, **more):
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120 * SLOW,
                            env={**bare_environment(), **more})
    stage.transcript.note("test", f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
    expect(result.returncode, 0, f"exit code of {' '.join(command)}: {result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def installed(stage):
    """A folder that holds what is installed with the prefix /opt/serin, by the first case that asks."""
    folder = os.path.join(stage.folder, "installed")
    if not os.path.isdir(folder):
        done(stage, "cmake", "--install", os.path.dirname(stage.binary), "--prefix", "/opt/serin", DESTDIR=folder,
             SOURCE_DATE_EPOCH="1700000000")
    return os.path.join(folder, "opt", "serin")


# What SPDX 2.3 wants of a document, of those parts that are used here (its JSON schema, and clauses 6, 7 and 11).
SPDX_LICENCE = re.compile(r"(NOASSERTION|NONE|MIT|ISC|curl|Zlib|Apache-2\.0|BSD-[23]-Clause|OLDAP-2\.8|L?GPL-[23]\.[01]-(only|or-later))")
SPDX_KINDS = {"DESCRIBES", "DYNAMIC_LINK", "STATIC_LINK", "CONTAINS", "DEPENDS_ON"}
SPDX_PACKAGE = {"name", "SPDXID", "downloadLocation"}
SPDX_PACKAGE_MORE = {"versionInfo", "filesAnalyzed", "licenseConcluded", "licenseDeclared", "copyrightText", "supplier", "sourceInfo",
                     "externalRefs", "checksums", "primaryPackagePurpose"}


def spdx_faults(document):
    faults = [name for name in ("name", "packages", "relationships", "documentDescribes") if not document.get(name)]
    faults += [name for name, value in (("spdxVersion", "SPDX-2.3"), ("dataLicense", "CC0-1.0"), ("SPDXID", "SPDXRef-DOCUMENT"))
               if document.get(name) != value]
    if not re.fullmatch(r"https?://[^#\s]+", document.get("documentNamespace", "")):
        faults.append("documentNamespace")
    creation = document.get("creationInfo", {})
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", creation.get("created", "")):
        faults.append("created")
    faults += [one for one in creation.get("creators", [""]) if not re.match(r"(Tool|Person|Organization): \S", one)]
    identifiers = [package.get("SPDXID") for package in document["packages"]]
    faults += [one for one in identifiers if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one or "") or identifiers.count(one) > 1]
    for package in document["packages"]:
        names = set(package)
        if not SPDX_PACKAGE <= names <= SPDX_PACKAGE | SPDX_PACKAGE_MORE:
            faults.append(f"{package['name']}: {sorted(names)}")
        faults += [f"{package['name']}: {package[key]}" for key in ("licenseConcluded", "licenseDeclared") if not SPDX_LICENCE.fullmatch(package[key])]
        if not re.match(r"(NOASSERTION$|Organization: \S|Person: \S)", package.get("supplier", "NOASSERTION")):
            faults.append(f"{package['name']}: supplier")
        for reference in package.get("externalRefs", []):
            if reference["referenceType"] != "purl" or not re.fullmatch(r"pkg:deb/[a-z]+/[a-z0-9.+-]+@[A-Za-z0-9.%~-]+\?arch=\w+&distro=[\w.-]+", reference["referenceLocator"]):
                faults.append(f"{package['name']}: {reference}")
    known = {*identifiers, "SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        ends = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        if relation["relationshipType"] not in SPDX_KINDS or not ends <= known:
            faults.append(f"{relation}")
    return faults + [one for one in document["documentDescribes"] if one not in known]


def files_of(root):
    return sorted(os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names)


@case(starts_proxy=False)
def everything_is_below_the_prefix_and_in_its_place(stage):
    root = installed(stage)
    files = files_of(root)
    for path in ("bin/serin", "share/man/man1/serin.1", "share/man/man5/serin.yaml.5",
                 "share/bash-completion/completions/serin", "share/zsh/vendor-completions/_serin",
                 "share/fish/vendor_completions.d/serin.fish", "share/doc/serin/README.md", "share/doc/serin/LICENSE",
                 "share/doc/serin/docs/OPERATING.md", "share/doc/serin/conf/serin.yaml",
                 "share/doc/serin/conf/monitoring/prometheus.yml", "share/doc/serin/conf/examples/pages.yaml"):
        expect(path in files, True, f"{path} is installed")
    strays = [path for path in files if not path.startswith(("bin/serin", "share/", "lib/systemd/system/serin.", "lib/sysusers.d/serin.conf"))]
    expect(strays, [], "files elsewhere")
    expect(os.listdir(os.path.dirname(os.path.dirname(root))), ["opt"], "folders beside the prefix")


@case(starts_proxy=False)
def links_of_the_documents_lead_to_what_is_installed(stage):
    documents = os.path.join(installed(stage), "share", "doc", "serin")
    dead = []
    for path in files_of(documents):
        if path.endswith(".md"):
            with open(os.path.join(documents, path), encoding="utf-8") as file:
                links = {os.path.normpath(os.path.join(os.path.dirname(path), link)) for link in LINK.findall(file.read())
                         if ":" not in link}
            dead += [(path, link) for link in sorted(links)
                     if not ELSEWHERE.match(link) and not os.path.exists(os.path.join(documents, link))]
    expect(dead, [], "dead links")


@case(starts_proxy=False)
def the_program_says_what_it_is_made_of(stage):
    binary = os.path.join(installed(stage), "bin", "serin")
    lines = done(stage, binary, "--version").split("\n")
    about = json.loads(done(stage, binary, "--version", "--json"))
    expect(lines[0], f"serin {about['version']} ({about['commit']})", "first line")
    expect(json.loads(done(stage, binary, "version", "--json")), about, "the verb's answer")
    versions = {one["name"]: one["running"] for one in about["libraries"]}
    for name, module in (("libuv", "libuv"), ("sqlite", "sqlite3"), ("nghttp2", "libnghttp2"), ("jansson", "jansson")):
        expect(versions[name], done(stage, "pkg-config", "--modversion", module).strip(), f"version of {name}")
    for path in (SOURCES, os.path.dirname(stage.binary)):
        expect(path in json.dumps(about), False, f"{path} in what it says of itself")
    wrong = subprocess.run([binary, "--version", "--jso"], capture_output=True, text=True, check=False, timeout=30 * SLOW)
    expect((wrong.returncode, wrong.stdout), (2, ""), "an option that there is not")


@case(starts_proxy=False)
def what_it_is_made_of_is_listed(stage):
    root = installed(stage)
    binary = os.path.join(root, "bin", "serin")
    with open(os.path.join(root, "share/doc/serin/serin.spdx.json"), encoding="utf-8") as file:
        document = json.load(file)
    expect(spdx_faults(document), [], "what SPDX 2.3 objects to")
    expect(document["creationInfo"]["created"], "2023-11-14T22:13:20Z", "when, as the build was told")
    with open(binary, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    packages = {package["name"]: package for package in document["packages"]}
    expect(packages["serin"]["checksums"], [{"algorithm": "SHA256", "checksumValue": digest}], "of which program")
    kinds = {relation["relatedSpdxElement"]: relation["relationshipType"] for relation in document["relationships"]}
    for name, kind in (("libuv1", "DYNAMIC_LINK"), ("libssl3", "DYNAMIC_LINK"), ("libc6", "DYNAMIC_LINK"), ("libcurl4", "DYNAMIC_LINK"), ("llhttp", "STATIC_LINK"),
                       ("dygraphs", "CONTAINS"), ("zlib1g", "DEPENDS_ON")):
        expect(kinds[packages[name]["SPDXID"]], kind, f"how {name} is in it")
    version = done(stage, "dpkg-query", "-W", "-f", "${Version}", "libuv1")
    expect((packages["libuv1"]["versionInfo"], packages["libuv1"]["licenseDeclared"]), (version, "MIT"), "libuv")
    loaded = re.findall(r"=> (/\S+)", done(stage, "env", "LD_PRELOAD=libcurl.so.4", "ldd", binary))
    expect(len(document["packages"]) > 10 and len(loaded) >= len(document["packages"]) - 4, True, "as many packages as are loaded")


@case(starts_proxy=False)
def faults_of_such_a_list_are_found(stage):
    root = installed(stage)
    with open(os.path.join(root, "share/doc/serin/serin.spdx.json"), encoding="utf-8") as file:
        good = file.read()
    expect(spdx_faults(json.loads(good)), [], "faults of a good one")
    for wrong, right in (("SPDX-2.2", "SPDX-2.3"), ("SPDXRef-Package-l b", "SPDXRef-Package-libuv1"), ("Beerware", "MIT"),
                         ("LINKS", "DYNAMIC_LINK"), ("ftp:/x", "https://serin.invalid/")):
        expect(len(spdx_faults(json.loads(good.replace(right, wrong, 1)))) > 0, True, f"faults with {wrong}")


@case(starts_proxy=False)
def the_installed_program_serves_an_installed_configuration(stage):
    root = installed(stage)
    binary = os.path.join(root, "bin", "serin")
    done(stage, binary, "check", "-c", os.path.join(root, "share/doc/serin/conf/serin.yaml"))
    stage.binary = binary
    stage.start_serin()
    expect(stage.ask().status, 200, "status")


if __name__ == "__main__":
    run(__file__)
