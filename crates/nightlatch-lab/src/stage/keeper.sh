# Holds the network namespaces of one stage: one sleeping process in each.
#
# Started with the names of the hosts as arguments, each as "name" or "name:private;private".
# Standard input is a pipe whose other end only the maker of the stage holds: the end of the
# input, also after a kill -9 of the maker, ends every process inside the stage's namespaces.
trap '' INT HUP TERM QUIT
exec 3<&0

hold='
set_kernel() { if [ -w "/proc/sys/net/$1" ]; then echo "$2" > "/proc/sys/net/$1"; fi; }
for family in ipv4 ipv6; do
    for scope in all default; do
        set_kernel $family/conf/$scope/accept_redirects 0
    done
    # A lost question for a neighbour is asked again soon, not after a second.
    set_kernel $family/neigh/default/retrans_time_ms 50
done
for scope in all default; do
    set_kernel ipv4/conf/$scope/rp_filter 0
    set_kernel ipv4/conf/$scope/send_redirects 0
    set_kernel ipv6/conf/$scope/disable_ipv6 0
    set_kernel ipv6/conf/$scope/accept_dad 0
    set_kernel ipv6/conf/$scope/dad_transmits 0
    set_kernel ipv6/conf/$scope/accept_ra 0
    set_kernel ipv6/conf/$scope/router_solicitations 0
done
set_kernel ipv4/icmp_ratelimit 0
set_kernel ipv4/icmp_msgs_per_sec 1000000
set_kernel ipv4/icmp_msgs_burst 100000
set_kernel ipv6/icmp/ratelimit 0
rest=$2
while [ -n "$rest" ]; do
    directory=${rest%%;*}
    rest=${rest#"$directory"}
    rest=${rest#;}
    case $directory in
    copy=*)
        directory=${directory#copy=}
        # What this user may not read or own is left out of the copy.
        mount -n -t tmpfs tmpfs /mnt || exit 1
        cp -a "$directory/." /mnt/ 2> /dev/null
        mount -n --move /mnt "$directory" || exit 1 ;;
    *)
        mount -n -t tmpfs tmpfs "$directory" || exit 1 ;;
    esac
done
echo "ready $1 $$"
exec sleep infinity > /dev/null 2>&1
'

holders=
for host in "$@"; do
    name=${host%%:*}
    private=${host#"$name"}
    unshare --net --mount --propagation private setpriv --pdeathsig KILL \
        sh -c "$hold" holder "$name" "${private#:}" 2>&1 3<&- &
    holders="$holders $!"
done
cat <&3 > /dev/null

# The end. The holders keep their namespaces alive until all others are gone, so that no other
# stage can have got the same namespace numbers meanwhile.
spaces=
for holder in $holders; do
    space=$(readlink "/proc/$holder/ns/net") && spaces="$spaces $space"
done
others() {
    ls -l /proc/[0-9]*/ns/net 2> /dev/null | while read -r line; do
        case "$spaces " in
        *" ${line##*-> } "*)
            process=${line#*/proc/}
            process=${process%%/*}
            case "$holders " in *" $process "*) ;; *) echo "$process" ;; esac ;;
        esac
    done
}
round=0
while [ -n "$spaces" ] && [ $round -lt 50 ]; do
    processes=$(others)
    [ -n "$processes" ] || break
    kill -KILL $processes 2> /dev/null
    round=$((round + 1))
    [ $round -lt 3 ] || sleep 0.02
done
kill -KILL $holders 2> /dev/null
wait 2> /dev/null
