#!/bin/sh
# Checks that no file includes a header of a layer above its own, and that
# *_ops.h, *_kernels.h and *_internal.h stay in their folder.  Prints TAP.
#
# usage: check-layers.sh [ROOT]
cd "${1:-${srcdir:-.}}" || exit 99

# Layer of each folder; a file may include its own folder and lower layers.
awk '
BEGIN {
    layer["core/base"] = 0
    layer["core/code"] = layer["core/linalg"] = 1
    layer["core/image"] = layer["core/nn"] = 2
    layer["core/hash"] = layer["core/prune"] = layer["core/binarize"] = 3
    layer["core/extract"] = 3
    layer["core/eval"] = layer["storage"] = 4
    layer["client"] = 5
    layer["server"] = 5
    layer["server/worker"] = 5
    layer["tests"] = 6
    while (("find core storage client server -name \"*.[ch]\" 2>/dev/null" | getline file) > 0) {
        from = folder(file)
        while ((getline line < file) > 0) {
            if (line !~ /^#include "[a-z]+\//) continue
            split(line, part, "\"")
            to = folder(part[2])
            if (to != from && (layer[to] >= layer[from] || !(to in layer)))
                complain(file " includes " part[2])
            if (from == "client" && to != from && to !~ /^core\//)
                complain(file " includes " part[2])
            if (to != from && part[2] ~ /_(ops|kernels|internal)\.h$/)
                complain(file " includes the private " part[2])
        }
        close(file)
    }
    print (bad ? "not ok" : "ok") " 1 - includes go down"
    print "1..1"
}
function folder(path,   p, n) {
    n = split(path, p, "/")
    if (p[1] == "core" || (p[1] == "server" && p[2] == "worker"))
        return p[1] "/" p[2]
    return p[1]
}
function complain(text) { print "# " text; bad = 1 }
'
