"""A Ray cluster on this machine, in a process of its own, which can be killed when it hangs

On a busy machine Ray's two agents, which are Python, take more than the 15 seconds after which a raylet ends itself. It waits
for files with their ports: these are written here before it starts, and what no test needs is left out (autoscaler, dashboard,
monitor of logs). `python ray_cluster.py CPUS...` starts a node each."""
import os, select, shutil, socket, subprocess, sys, tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = str(Path(__file__).parents[1])
PATIENCE = 120 # seconds for a cluster to come up; it is tried twice
os.environ.update(RAY_agent_register_timeout_ms='300000', RAY_gcs_server_port_wait_time_s='90', RAY_worker_register_timeout_seconds='300',
                  RAY_raylet_start_wait_time_s='300', RAY_enable_metrics_collection='0', RAY_USAGE_STATS_ENABLED='0') # read when ray is imported

class RayCluster:
    "Nodes of so many CPUs each; `address` is empty when they did not come up"
    def __init__(self, *cpus: int):
        self.folder = tempfile.mkdtemp(prefix='ray-', dir='/tmp') # the names of sockets must be short
        env = {**os.environ, 'RAY_TMPDIR':self.folder, 'PYTHONPATH':os.pathsep.join([ROOT, os.environ.get('PYTHONPATH', '')])} # which workers inherit
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, cpus)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self._answer()

    def _answer(self) -> str:
        there, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        return self.process.stdout.readline().strip() if there else ''

    def remove_node(self):
        "Kill the last node"
        self.process.stdin.write('remove\n')
        self.process.stdin.flush()
        assert self._answer()=='removed'

    def stop(self, kill: bool=False):
        "End it; what it leaves is killed"
        all = [self.process]
        with suppress(psutil.NoSuchProcess): all += psutil.Process(self.process.pid).children(recursive=True)
        if self.address and not kill:
            self.process.stdin.close()
            with suppress(subprocess.TimeoutExpired): self.process.wait(30)
        for o in all:
            with suppress(psutil.NoSuchProcess): o.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

@contextmanager
def ray_cluster(*cpus: int):
    cluster = RayCluster(*cpus)
    if not cluster.address:
        cluster.stop()
        cluster = RayCluster(*cpus)
    try:
        assert cluster.address, f'Ray did not start within {PATIENCE} s, twice'
        yield cluster
    finally: cluster.stop()

# --- in the process of the cluster ----------------------------------------------------------------------------------

def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as s: return s.getsockname()[1]

def make_patient():
    "Patch the class that starts a node's processes"
    from ray._private.node import Node
    from ray._raylet import persist_port
    start = Node.start_raylet
    def start_raylet(self, *args, **kwargs):
        for o in ('metrics_agent_port', 'metrics_export_port', 'dashboard_agent_listen_port'): persist_port(self._session_dir, self._node_id, o, -1)
        return start(self, *args, **kwargs)
    Node.start_raylet = start_raylet
    Node.start_api_server = lambda self, **kwargs: setattr(self, '_webui_url', '')

def main(cpus: list[int]):
    import ray
    from ray.cluster_utils import Cluster
    out, sys.stdout = sys.stdout, sys.stderr
    make_patient()
    cluster = Cluster()
    few = dict(no_monitor=True, include_log_monitor=False, object_store_memory=128<<20)
    nodes = [cluster.add_node(num_cpus=n, runtime_env_agent_port=free_port(), **few) for n in cpus]
    ray.init(address=cluster.address, log_to_driver=False, logging_level='ERROR')
    ray.get(ray.remote(lambda: 0).remote()) # so that a worker has started
    ray.shutdown()
    print(cluster.address, file=out, flush=True)
    for line in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print('removed', file=out, flush=True)
    cluster.shutdown()

if __name__=='__main__': main(list(map(int, sys.argv[1:])))
