#!/bin/bash
# usage: rgw.sh PORT DIR ACCESS_KEY SECRET_KEY
# A Ceph cluster of one monitor and one OSD in memory, and radosgw at 127.0.0.1:PORT. All of them are in the
# process group of this script, which ends with radosgw; kill the group to stop them.
set -euo pipefail
port=$1 dir=$2 access=$3 secret=$4
cd "$dir"
mkdir mon osd rgw
export CEPH_CONF=$dir/ceph.conf
fsid=$(cat /proc/sys/kernel/random/uuid)
monitor=$((port + 1))
cat > ceph.conf <<CONF
[global]
fsid = $fsid
mon_host = [v1:127.0.0.1:$monitor]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 4294967296
ms_bind_ipv6 = false
run_dir = $dir
admin_socket = $dir/\$name.asok
log_file = $dir/\$name.log
mon_data = $dir/mon
osd_data = $dir/osd
[client.rgw.test]
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_data = $dir/rgw
rgw_dynamic_resharding = false
CONF
monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$monitor]" monmap
ceph-mon -i a --mkfs --monmap monmap
ceph-mon -i a --foreground &
osd=$(cat /proc/sys/kernel/random/uuid)
ceph osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd"
ceph osd crush add osd.0 1.0 root=default host=here
# It gives up with "wrong fsid" where its first command comes before it has the monitor's map.
until ceph-osd -i 0 --foreground; do :; done &
radosgw-admin user create --uid=test --display-name=test --access-key="$access" --secret-key="$secret"
exec radosgw -n client.rgw.test --foreground
