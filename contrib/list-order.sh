#!/usr/bin/env bash
#
# contrib/list-order.sh PROGRAM > contrib/list.ld: which functions `tidegate list' runs, as a linker script that puts
# them, and the tables that belong to them, next to each other (see static.toml). Takes valgrind and user namespaces,
# and a PROGRAM with its symbols, built as static.toml says. What the C library does meanwhile is in libc.ld, which is
# kept by hand.
#
# contrib/list-order.sh --check PROGRAM: whether our own functions of list.ld are still in a PROGRAM, by their path; any
# build has them that inlines little, such as cargo's debug build. Status: 0 if nine of ten are; else it is time to make
# the list anew. Takes seconds, nm and c++filt.
set -euo pipefail

# Paths of functions as they are written, without type arguments and hashes, however they were mangled.
paths() {
    c++filt | sed -E 's/\[[0-9a-f]+\]//g; s/::h[0-9a-f]{16}$//; s/\{closure#[0-9]+\}/{{closure}}/g
        s/^[^<]*::<impl ([^<> ]+)>::/\1::/; :a; s/(::|[A-Za-z0-9_])<[^<>]*>/\1/g; ta
        s/::$//; s/^<([^<> ]+)>::/\1::/; s/::::/::/g' | LC_ALL=C sort -u
}

# Those that a trait of another crate asks for, or whose name isn't told without the hash, are not looked for.
check() {
    local listed gone known
    listed=$(sed -nE 's/^ +\*\(\.text\*\.(_R.*)\)$/\1/p' "${BASH_SOURCE[0]%/*}/list.ld" |
        sed 's/Cs\*_/Cs_/g' | paths | grep -E '^tidegate[a-z_]*::' | grep -v closure)
    known=$(nm --defined-only "$1" | awk '$2 ~ /[tTW]/ { print $3 }' | paths)
    gone=$(LC_ALL=C comm -23 <(echo "$listed") <(echo "$known"))
    echo "list.ld: $(wc -l <<<"$listed") functions looked for, gone: $(paste -sd' ' <<<"${gone:-none}")"
    (($(grep -c . <<<"$gone") * 10 <= $(grep -c . <<<"$listed")))
}

if [[ $1 == --check ]]; then
    check "$2"
    exit
fi

program=$(realpath "$1")
calls=$(mktemp -d)
trap 'rm -r "$calls"' EXIT

# Both families, TCP and UDP, whole and filtered, and more lines than are written at once.
export program calls
unshare --user --map-root-user --net bash -euo pipefail -c '
    said() { "$@" >/dev/null 2>"$calls/said" || { cat "$calls/said" >&2; exit 1; }; }
    flow() { said "$program" insert -p "$1" -s "$2" -d "$3" --dport 443 -t 600 "${@:4}"; }
    listed() { said valgrind --quiet --tool=callgrind --demangle=no --callgrind-out-file="$calls/$1" "$program" list "${@:2}"; }
    flow udp 10.0.0.1 192.0.2.1 --sport 4000
    flow tcp 2001:db8::1 2001:db8::2 --sport 4000 --state TIME_WAIT
    for port in {4000..4300}; do
        flow tcp 10.0.0.1 192.0.2.1 --sport $port --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 7
    done
    listed all
    listed extended -o extended,id
    listed filtered -p tcp --state TIME_WAIT -f ipv6 --dport 443
'
# Without the hashes of the compiler. Callgrind marks what calls itself with a number.
names=$(sed -nE "s/^c?fn=\([0-9]+\) //p" "$calls"/{all,extended,filtered} | grep -E '^(_R|main$)' |
    sed -E "s/'[0-9]+\$//; s/Cs[0-9A-Za-z]+_/Cs*_/g" | LC_ALL=C sort -u)

echo "/* Made by list-order.sh: what \`tidegate list' runs. A name that is not there does no harm. */"
echo 'SECTIONS {'
echo '  .text.list : {'
sed 's/.*/    *(.text*.&)/' <<<"$names"
echo '  }'
echo '} INSERT BEFORE .text;'
echo 'SECTIONS {'
echo '  .rodata.list : {'
echo '    *(.rodata.cst*)'
sed 's/.*/    *(.rodata*.&)/' <<<"$names"
echo '  }'
echo '} INSERT BEFORE .gcc_except_table;'
