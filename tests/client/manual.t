#!/usr/bin/env -S python3 -B
"""akin(1) says of every command and option what the tool says."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mock import Tests

MANUAL = os.path.join(os.environ.get("srcdir", "."), "client", "akin.1")


class ManualTests(Tests):
    def _manual(self):
        with open(MANUAL) as f:
            return f.read().replace("\\-", "-")

    def _commands(self):
        out = self.akin("--help")[1].split("\n\n")
        block = next(b for b in out if b.startswith("  status"))
        return [re.match(r"  (\S+( \S+)?)  ", line).group(1) for line in block.splitlines()]

    def every_command_is_in_the_manual(self):
        manual = self._manual()
        commands = self._commands()
        self.check(len(commands) > 15)
        for command in commands:
            self.check(re.search(r"^\.Ss? .*%s" % re.escape(command), manual, re.M), command)

    def every_option_is_in_the_manual(self):
        manual = self._manual()
        for command in self._commands():
            for option in re.findall(r"--([a-z-]+)", self.akin(*command.split(), "--help")[1]):
                self.check(re.search(r"Fl -%s\b" % re.escape(option), manual), command + " --" + option)

    def every_option_of_the_manual_is_one(self):
        known = {"help"}
        for command in self._commands():
            known.update(re.findall(r"--([a-z-]+)", self.akin(*command.split(), "--help")[1]))
        for option in re.findall(r"Fl -([a-z-]+)", self._manual()):
            self.check(option in known, option)

    def every_exit_code_is_in_the_manual(self):
        for code in (0, 1, 2, 3, 4, 5, 6, 130):
            self.check(re.search(r"^\.It %d$" % code, self._manual(), re.M), code)


if __name__ == "__main__":
    ManualTests.main()
