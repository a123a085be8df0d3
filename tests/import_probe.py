"""Import modules under an audit hook and print, as JSON, what that did beyond defining names.

    python import_probe.py FOLDER FIRST MODULES

FOLDER holds the package, FIRST is a JSON list of import statements run beforehand (what libraries do while they are
imported is theirs, except for the network), MODULES is a JSON list of modules to import after that.
"""

import builtins
import json
import os
import sys

WATCHED = ("accelerate", "datasets")
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
STARTS = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


class Probe:
    """The hooks and what they saw: [where, event, detail] for each."""

    def __init__(self):
        self.where = "libraries"
        self.seen = []
        self.importers = set()
        self.plain_import = builtins.__import__

    def audit(self, event, arguments):
        if event in NETWORK:
            self.seen.append([self.where, event, repr(arguments)])
            raise OSError("no network while importing")
        if self.where != "libraries" and (event in CHANGES | STARTS or (event == "open" and opens_to_write(arguments))):
            self.seen.append([self.where, event, repr(arguments)])

    def watched_import(self, name, scope=None, *rest, **options):
        if name.split(".")[0] in WATCHED:
            self.importers.add((scope or {}).get("__name__", "?"))
        return self.plain_import(name, scope, *rest, **options)

    def import_modules(self, modules):
        for module in modules:
            self.where = module
            __import__(module)
            torch = sys.modules.get("torch")
            if torch is not None and torch.cuda.is_initialized():
                self.seen.append([module, "gpu", "torch.cuda is initialized"])


def opens_to_write(arguments):
    path, mode, flags = arguments
    if path == os.devnull:
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & WRITE_FLAGS)


def main():
    folder, first, modules = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    sys.argv[1:] = ["--no-such-flag", "no-such-file"]
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    probe = Probe()
    builtins.__import__ = probe.watched_import
    sys.addaudithook(probe.audit)
    for statement in first:
        exec(statement, {"__name__": "libraries"})
    probe.import_modules(modules)
    probe.where = "libraries"
    loaded = [name for name in WATCHED if name in sys.modules]
    print(json.dumps({"seen": probe.seen, "loaded": loaded, "importers": sorted(probe.importers)}))


if __name__ == "__main__":
    main()
