#!/usr/bin/env bash
# A real Slurm on this machine alone, from Debian's slurm-wlm and munge; run as root, systemd is not needed.
#   cluster.sh start FOLDER    everything lies below FOLDER; afterwards `export SLURM_CONF=FOLDER/slurm.conf`
#   cluster.sh stop FOLDER     ends its jobs and its three daemons
set -euo pipefail
PATH="$PATH:/usr/sbin"

start() {
    mkdir --mode 755 "$folder/state" "$folder/spool"
    (umask 077 && dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none)
    configuration >"$folder/slurm.conf"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>>"$folder/munged.err"
    slurmctld -c
    slurmd
    for _ in $(seq 300); do
        if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then return; fi
        sleep 0.1
    done
    echo "Slurm did not become ready; its logs:" >&2
    tail -n 20 "$folder"/*.log >&2
    return 1
}

stop() {
    scancel --user=root 2>/dev/null || true
    for _ in $(seq 100); do
        if [ -z "$(squeue --noheader 2>/dev/null)" ]; then break; fi
        sleep 0.1
    done
    daemons=$(cat "$folder"/{slurmd,slurmctld,munged}.pid 2>/dev/null || true)
    for pid in $daemons; do kill "$pid" 2>/dev/null || true; done
    for pid in $daemons; do
        for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    done
}

configuration() {
    host=$(hostname --short)
    # Four CPUs whatever the machine has: jobs of one CPU run side by side also on one core. A requeued job waits until
    # its first credential has expired, by default for two minutes.
    cat <<END
ClusterName=vmc
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
AuthInfo=socket=$folder/munge.socket,cred_expire=15
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=20
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE
END
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

folder=${2:?cluster.sh start FOLDER, or cluster.sh stop FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")
export SLURM_CONF="$folder/slurm.conf"
"$1"
