#!/usr/bin/env bash
#
# contrib/list-order.sh PROGRAM > contrib/list.ld: which functions `tidegate list' runs, as a linker script that puts
# them, and the tables that belong to them, next to each other (see static.toml). Takes valgrind and user namespaces,
# and a PROGRAM with its symbols, built as static.toml says.
set -euo pipefail

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
