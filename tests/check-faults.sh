#!/bin/sh
# Checks that docs/faults.md has each fault from 1 to 80 with something beside
# it, and that each test named there is in its file.  Prints TAP.
#
# usage: check-faults.sh [ROOT]
cd "${1:-${srcdir:-.}}" || exit 99
# A tarball has no documents.
[ -e docs/faults.md ] || { echo "1..0 # SKIP there is no docs/faults.md"; exit; }

awk '
BEGIN {
    FS = "|"
    while ((getline line < "docs/faults.md") > 0) {
        if (split(line, cell, "|") < 5 || cell[2] !~ /^ *[0-9]+ *$/)
            continue
        if (cell[2] + 0 != ++n)
            complain("after fault " (n - 1) " comes " cell[2])
        n_shown = split(cell[4], shown, "<br>")
        if (cell[4] ~ /^ *$/)
            complain("fault " n " has nothing beside it")
        for (i = 1; i <= n_shown; i++)
            look(shown[i])
    }
    if (n != 80)
        complain("there are " n " faults, expected 80")
    print (bad ? "not ok" : "ok") " 1 - each test in docs/faults.md is there"
}
# "`FILE`: NAME", "`FILE`", or a remark.
function look(text,   file, name, at) {
    gsub(/^ +| +$/, "", text)
    if (text !~ /^`[^`]*\/[^`]*`/)
        return
    at = index(substr(text, 2), "`")
    file = substr(text, 2, at - 1)
    name = substr(text, at + 4)
    if (file in source || read(file))
        if (name != "" && index(source[file], quoted(file, name)) == 0)
            complain(file " has no test \"" name "\"")
}
# A unit test is in the list of its file, one of a script has its name as text.
function quoted(file, name) {
    if (file ~ /\.c$/)
        return "(" name
    return file ~ /\.t$/ ? "\"" name "\"" : name
}
# The whole file; what Python joins of a text over several lines is joined.
function read(file,   line, all) {
    if ((getline line < file) <= 0) {
        complain("there is no " file)
        return 0
    }
    do {
        sub(/^ +/, "", line)
        all = all line
    } while ((getline line < file) > 0)
    close(file)
    gsub(/""/, "", all)
    source[file] = all
    return 1
}
function complain(text) { print "# " text; bad = 1 }
'

# A server that fetches what a request names can be made to fetch anything.
if grep -lE 'curl/curl\.h|evhttp|getaddrinfo|connect\(' -r core storage server \
    --include='*.[ch]' | grep -v '^server/address\.c$' | sed 's/^/# /' |
    grep .; then
    echo "not ok 2 - the daemon has no client of URLs in it"
else
    echo "ok 2 - the daemon has no client of URLs in it"
fi
echo "1..2"
