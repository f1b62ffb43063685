#!/usr/bin/python3 -B
"""What deploy/ ships: the unit, the scripts and their lists."""

from akin_test import *

DEPLOY = SOURCE / "deploy"


@test("the systemd unit is valid and hardened to 1.5 or better")
def _():
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze here")
    with tempfile.TemporaryDirectory() as place:
        unit = Path(place, "akind.service")
        text = (DEPLOY / "akind.service.in").read_text()
        unit.write_text(text.replace("@sbindir@", "/usr/bin/env"[:8]))
        done = subprocess.run(["systemd-analyze", "security",
                               "--offline=true", str(unit)],
                              capture_output=True, text=True)
    if "offline" in done.stderr or not done.stdout:
        raise Skip("this systemd-analyze knows no --offline")
    exposure = float(done.stdout.rsplit("akind.service:", 1)[1].split()[0])
    check(exposure <= 1.5, "exposure is %.1f" % exposure)


@test("the scripts say how they are used")
def _():
    for script in ("deploy/check", "deploy/install-packages",
                   "deploy/quickstart", ".ci/run"):
        done = subprocess.run([str(SOURCE / script), "--help"],
                              capture_output=True, text=True)
        equal(done.returncode, 0, "status of %s --help" % script)
        check("usage:" in done.stdout, "%s says %r" % (script, done.stdout))
        done = subprocess.run([str(SOURCE / script), "--nonsense"],
                              capture_output=True, text=True)
        check(done.returncode != 0, "%s takes --nonsense" % script)


main()
