"""What no schema knows of deploy/kubernetes, as it is rendered: manifests.py RENDERED VERSION"""

import sys
import tomllib

import yaml

rendered, version = sys.argv[1:]
found = list(yaml.safe_load_all(open(rendered)))
by_kind = {}
for one in found:
    by_kind.setdefault(one["kind"], []).append(one)


def must(holds, what):
    if not holds:
        sys.exit(f"{rendered}: {what}")


(workload,) = by_kind.get("StatefulSet", []) + by_kind.get("Deployment", [])
template = workload["spec"]["template"]
pod = template["spec"]
(container,) = pod["containers"]
(configuration,) = by_kind["ConfigMap"]
(secret,) = by_kind["Secret"]
settings = tomllib.loads(configuration["data"]["readhook.toml"])
direct = settings.get("delivery", {}).get("ack_after") == "sinks"

must(container["image"].endswith(f":{version}"), f"the image is not of version {version}")
must((workload["kind"] == "Deployment") == direct, "a journal wants a StatefulSet, its absence a Deployment")
must(direct or workload["spec"]["replicas"] == 1, "a journal belongs to one process")
must(direct == ("PodDisruptionBudget" in by_kind) == ("HorizontalPodAutoscaler" in by_kind), "only replicas are scaled")

# The pod security standard `restricted`, and more.
context, own = pod["securityContext"], container["securityContext"]
must(context["runAsNonRoot"] and context["runAsUser"] == 65532, "not the image's user")
must(context["seccompProfile"]["type"] == "RuntimeDefault", "seccomp")
must(own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"], "the container may write or rise")
must(own["capabilities"] == {"drop": ["ALL"]}, "capabilities")
must(pod["automountServiceAccountToken"] is False, "a token of the cluster")

# 20 s: a head and a body that each take as long as they may.
waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
needed = waits + 20 + settings.get("delivery", {}).get("drain_seconds", 10)
must(pod["terminationGracePeriodSeconds"] > needed, f"ending takes up to {needed} s")

# What is mounted and what is read.
mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
volumes = {volume["name"]: volume for volume in pod["volumes"]}
must(volumes["config"]["configMap"]["name"] == configuration["metadata"]["name"], "another ConfigMap")
must(volumes["secrets"]["secret"]["secretName"] == secret["metadata"]["name"], "another Secret")
must(mounts["config"] == "/config" and mounts["data"] == "/data", "the image looks elsewhere")


def files(value, key=""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from files(inner, name)
    elif key.endswith("_file"):
        yield value
    elif key.endswith("_files"):
        yield from value


for path in files(settings):
    folder, _, name = path.rpartition("/")
    must(folder == mounts["secrets"] and name in secret["data"], f"{path} is not in the Secret")

# Probes are on the public port; the admin port has its own Service, and no way in but the policy's.
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    must(container[probe]["httpGet"]["port"] == "callbacks", f"{probe} is not on the public port")
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
must(settings["admin"]["listen"].endswith(f":{ports['admin']}"), "admin.listen is another port")
for service in by_kind["Service"]:
    targets = {port["targetPort"] for port in service["spec"]["ports"]}
    must(targets == ({"admin"} if service["metadata"]["name"].endswith("-admin") else {"callbacks"}), "services mix ports")
    must(service["spec"].get("type", "ClusterIP") == "ClusterIP", "a service that is open to the outside")
    must(service["spec"]["selector"].items() <= template["metadata"]["labels"].items(), "a service selects nothing")
(policy,) = by_kind["NetworkPolicy"]
must(policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), "the policy misses")
for rule in policy["spec"]["ingress"]:
    must(rule.get("from") and rule.get("ports"), "a rule of the policy lets everybody in")
print(f"{len(found)} objects of {workload['kind']} {workload['metadata']['name']}")
