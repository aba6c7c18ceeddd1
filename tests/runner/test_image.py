"""What the image is from inside: lean, unprivileged, telling nothing of the host (real containers)."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.runner.support import IMAGE, USER, Box, run_in

IMAGE_FOLDER = Path(__file__).parents[2] / "sandbox-image"


def labels() -> dict[str, str]:
    """Return the labels of the image the engine has."""
    answer = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .Config}}", IMAGE],
        capture_output=True,
        check=True,
        timeout=30,
    )
    found = json.loads(answer.stdout)
    assert not any("index" in variable.lower() for variable in found["Env"])
    return dict(found["Labels"])


def test_labels_tell_contract_lock_and_packages() -> None:
    """The contract, the digest of the lock and the package list are readable without a container."""
    import hashlib

    found = labels()
    lock = (IMAGE_FOLDER / "requirements.lock").read_bytes()
    assert found["org.sandglass.contract"] == "1"
    assert found["org.sandglass.lock"] == "sha256:" + hashlib.sha256(lock).hexdigest()
    packages = json.loads(found["org.sandglass.packages"])
    assert packages == json.loads((IMAGE_FOLDER / "packages.json").read_bytes())
    assert len(packages) >= 70
    assert {"cv2", "yaml", "PIL", "sklearn", "bs4"} <= {name for one in packages for name in one["imports"]}


def test_every_wish_is_locked_with_hashes_and_without_an_address() -> None:
    """Each line of requirements.in is in the lock, hashed, and the lock names no place to download from."""
    lock = (IMAGE_FOLDER / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==\S+ \\$", lock, re.MULTILINE))
    wishes = (
        line.split("#")[0].strip() for line in (IMAGE_FOLDER / "requirements.in").read_text().splitlines()
    )
    assert {wish for wish in wishes if wish} <= pinned
    assert "://" not in lock
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_a_signal_through_init_is_128_and_more(box: Box) -> None:
    """The init process passes on how the program died."""
    assert run_in(box, "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)").code == 143


def test_nothing_of_the_host_is_inside(box: Box) -> None:
    """Environment and init's environment hold the image's own settings only; no CA bundle of a proxy, no
    pip."""
    code = (
        "import os, sys, shutil\n"
        "env = dict(os.environ) | dict(e.split('=', 1) for e in open('/proc/1/environ').read().split('\\0') if e)\n"
        "print(sorted(env))\n"
        "print([shutil.which(n) for n in ('pip', 'gcc', 'cc', 'ld', 'apt-get', 'dpkg', 'perl', 'curl', 'wget')])\n"
        "found = [p for top in ('/etc', '/opt', '/usr', '/var') for p, _, n in os.walk(top) if 'host-ca.crt' in n]\n"
        "print(found, os.path.exists('/etc/ssl/certs/ca-certificates.crt'))\n"
        "print(sys.version_info[:2], os.getuid(), open('/etc/os-release').read().split()[0])"
    )
    ran = run_in(box, code)
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert not re.search(r"PIP|PROXY|proxy|CERT|INDEX|TOKEN|KEY", lines[0])
    assert lines[1] == str([None] * 9)
    assert lines[2] == "[] False"
    assert lines[3].startswith(f"(3, 13) {USER} ")


def test_the_root_is_read_only_and_caches_work_all_the_same(box: Box) -> None:
    """Nothing can be written beside the workspace and /tmp; numba, matplotlib and joblib find room for
    their caches."""
    code = (
        "import os, numba, joblib\n"
        "@numba.njit\ndef f(x):\n    return x + 1\n"
        "print(f(1), os.environ['HOME'])\n"
        "for d in ('/', '/opt/sandglass', '/usr/local/lib/python3.13/dist-packages', '/inputs', '/packages'):\n"
        "    try:\n        open(d + '/x', 'w')\n    except OSError as e:\n        print(e.errno)\n"
    )
    ran = run_in(box, code)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == ["2", "/tmp", "30", "30", "30", "30", "30"]


@pytest.mark.timeout(110)
def test_workbooks_documents_and_charts_can_be_made(box: Box) -> None:
    """The usual exports work under the lockdown: xlsx, parquet, docx, pdf, html."""
    code = (
        "import pandas as pd, docx, reportlab.pdfgen.canvas as rc, plotly.express as px, os\n"
        "df = pd.DataFrame({'a': [1, 2]})\n"
        "df.to_excel('a.xlsx'); df.to_parquet('a.parquet'); df.to_csv('a.csv')\n"
        "d = docx.Document(); d.add_paragraph('x'); d.save('a.docx')\n"
        "c = rc.Canvas('a.pdf'); c.drawString(9, 9, 'x'); c.save()\n"
        "px.line(df, y='a').write_html('a.html')\n"
        "print(sorted(os.listdir()), min(os.path.getsize(f) for f in os.listdir()) > 5)\n"
        "df"
    )
    ran = run_in(box, code)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "['a.csv', 'a.docx', 'a.html', 'a.parquet', 'a.pdf', 'a.xlsx'] True\n   a\n0  1\n1  2\n"
