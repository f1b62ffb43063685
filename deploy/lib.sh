# Shell functions shared by the scripts of this folder and .ci/run.
# Sourced by bash; `root` is the source tree.
#
# shellcheck shell=bash

# shellcheck disable=SC2034 # for those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# say TEXT...: a line for the person in front of the screen.
say() { printf '%s\n' "$*"; }

# die TEXT...: say what is wrong and end.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# packages_of FILE...: the names in package lists, without their comments.
packages_of() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@"; }

# missing_packages NAME...: those that dpkg does not have installed.
missing_packages() {
  local there name
  there=$(dpkg-query -W -f='${Package} ${Status}\n' "$@" 2>/dev/null |
    sed -n 's/ .* ok installed$//p') || true
  for name; do
    grep -qxF -- "$name" <<<"$there" || printf '%s\n' "$name"
  done
}

# install_packages FILE...: install what is missing; says nothing and needs no
# network when all is there.
install_packages() {
  command -v dpkg-query >/dev/null ||
    die "no dpkg-query here: this needs Debian 12 or a relative; elsewhere" \
      "install what deploy/packages.txt names, then configure and make"
  local names
  mapfile -t names < <(packages_of "$@")
  mapfile -t names < <(missing_packages "${names[@]}")
  ((${#names[@]})) || return 0
  set -- "${names[@]}"
  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null ||
      die "$# packages are missing and there is no sudo; as root:" \
        "apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  say "installing $# packages: $*"
  local log
  log=$(mktemp)
  # The lists may be absent (a fresh image) or old: fetch them when a first
  # try does not find its way.
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q)
  if ! "${get[@]}" install -y --no-install-recommends "$@" >"$log" 2>&1; then
    if ! "${get[@]}" update >"$log" 2>&1 ||
      ! "${get[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      die "could not install $# packages: $*"
    fi
  fi
  rm -f "$log"
  mapfile -t names < <(missing_packages "$@")
  ((${#names[@]} == 0)) || die "still missing after apt-get: ${names[*]}"
}

# cores: how many processes to build with.
cores() { nproc 2>/dev/null || echo 2; }

# newer_inputs FILE: true when configure's inputs changed after FILE was made.
newer_inputs() {
  [[ ! -e $1 ]] || [[ -n $(find "$root" -path "$root/build*" -prune -o \
    \( -name configure.ac -o -name Makefile.am -o -name local.am -o \
    -path "$root/m4/*.m4" \) -newer "$1" -print -quit) ]]
}

# build_tree BUILD [CONFIGURE-ARGUMENT...]: make BUILD hold an up-to-date build
# of the tree; what the tools say goes to BUILD/build.log.  Without arguments a
# tree that is configured stays as it is.
build_tree() {
  local build=$1
  shift
  [[ ! -e $root/config.status ]] ||
    die "$root is configured in place: run \`make distclean\` there first"
  mkdir -p "$build" || die "cannot make the build directory $build"
  build=$(cd "$build" && pwd)
  local log=$build/build.log wanted="$*"
  : >"$log"
  if [[ ! -x $root/configure || ! -e $root/Makefile.in ]] ||
    newer_inputs "$root/Makefile.in"; then
    (cd "$root" && autoreconf -fi) >>"$log" 2>&1 ||
      { tail -n 30 "$log" >&2; return 1; }
    touch "$root/Makefile.in"
  fi
  if (($# == 0)) && [[ -e $build/config.status ]]; then
    : # make runs config.status again when configure is newer
  elif [[ ! -e $build/config.status ||
    $root/configure -nt $build/config.status ||
    $(cat "$build/configured-with" 2>/dev/null) != "$wanted" ]]; then
    (cd "$build" && "$root/configure" -q "$@") >>"$log" 2>&1 ||
      { tail -n 30 "$log" >&2; return 1; }
    printf '%s' "$wanted" >"$build/configured-with"
  fi
  make -C "$build" -j "$(cores)" all >>"$log" 2>&1 ||
    { grep -E 'error|Error|warning' "$log" | head -n 30 >&2
      tail -n 10 "$log" >&2
      return 1; }
}

# count_tests BUILD: sets passed, failed and skipped from the results that
# automake's TAP driver left behind, and lists what did not pass, by name, in the
# arrays failed_tests and skipped_tests.  The .trs of a test counts, its .log has
# the names.
count_tests() {
  local trs log line
  passed=0 failed=0 skipped=0 failed_tests=() skipped_tests=() failed_logs=()
  while IFS= read -r trs; do
    local bad=0
    log=${trs%.trs}.log
    while IFS= read -r line; do
      case $line in
        ':test-result: PASS'* | ':test-result: XFAIL'*) passed=$((passed + 1)) ;;
        ':test-result: SKIP'*) skipped=$((skipped + 1)) ;;
        ':test-result: '*) failed=$((failed + 1)) bad=1 ;;
      esac
    done <"$trs"
    while IFS= read -r line; do
      case $line in
        'SKIP: '*) skipped_tests+=("${line#SKIP: }") ;;
        'FAIL: '* | 'ERROR: '* | 'XPASS: '*) failed_tests+=("${line#*: }") ;;
      esac
    done < <(grep -E '^(SKIP|FAIL|ERROR|XPASS): ' "$log" 2>/dev/null)
    ((bad)) && failed_logs+=("$log")
  done < <(find "$1" -name '*.trs' | sort)
  return 0
}

# run_tests BUILD [MAKE-ARGUMENT...]: `make check` from nothing, then count;
# false when a test failed, or when none could be run.  The command `under`,
# when there is one, goes before make.
under=()
run_tests() {
  local build=$1 status=0
  shift
  # Results of a test that is gone must not be counted.
  find "$build" -name '*.trs' -delete
  "${under[@]}" make -C "$build" -k -j "$(cores)" check "$@" >"$build/check.log" 2>&1 ||
    status=1
  count_tests "$build"
  if ((status && failed == 0)); then
    tail -n 30 "$build/check.log" >&2
    failed=1 failed_tests=("make check: ended with an error, see $build/check.log")
  fi
  ((failed == 0 && passed > 0))
}

# show_tests: what was skipped by name, what failed by name and with its log.
show_tests() {
  local line log
  for line in "${skipped_tests[@]}"; do say "skipped: $line"; done
  for line in "${failed_tests[@]}"; do say "failed: $line"; done
  for log in "${failed_logs[@]}"; do
    say "--- $log"
    tail -n 100 "$log"
  done
}
