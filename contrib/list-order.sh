#!/usr/bin/env bash
#
# contrib/list-order.sh PROGRAM > contrib/list.ld: which functions `tidegate list' runs, as a linker script that puts
# them next to each other (see static.toml). Takes valgrind and user namespaces, and a PROGRAM with its symbols.
set -euo pipefail

program=$(realpath "$1")
calls=$(mktemp -d)
trap 'rm -r "$calls"' EXIT

# Both families, TCP and UDP, whole and filtered, as text and as XML.
export program calls
unshare --user --map-root-user --net bash -euo pipefail -c '
    flow() { "$program" insert -p "$1" -s "$2" -d "$3" --sport 4000 --dport 443 -t 600 "${@:4}" 2>"$calls/said" ||
        { cat "$calls/said" >&2; exit 1; }; }
    flow udp 10.0.0.1 192.0.2.1
    flow tcp 10.0.0.1 192.0.2.1 --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 7
    flow tcp 2001:db8::1 2001:db8::2 --state TIME_WAIT
    listed() { valgrind --quiet --tool=callgrind --demangle=no --callgrind-out-file="$calls/$1" "$program" list "${@:2}" \
        >/dev/null 2>"$calls/said" || { cat "$calls/said" >&2; exit 1; }; }
    listed all
    listed extended -o extended,id
    listed filtered -p tcp --state TIME_WAIT -f ipv6 --dport 443
'

echo "/* Made by list-order.sh: the functions that \`tidegate list' runs. One that is not there does no harm. */"
echo 'SECTIONS {'
echo '  .text.list : {'
# Names without the hashes of the compiler. Callgrind marks what calls itself with a number.
sed -nE "s/^c?fn=\([0-9]+\) //p" "$calls"/{all,extended,filtered} | sed -E "s/'[0-9]+\$//" | grep -E '^(_ZN|_R|main$)' |
    sed -E 's/17h[0-9a-f]{16}E.*$/17h*/; s/Cs[0-9A-Za-z]+_/Cs*_/g; s/^/    *(.text./; s/$/)/' | LC_ALL=C sort -u
echo '  }'
echo '} INSERT BEFORE .text;'
