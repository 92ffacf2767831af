"""Checks the chart and what compose.yaml mounts, without a cluster and without Docker.

    python deploy/check.py chart CSU_EDGE    the chart: each value set in deploy/helm/cases and in its examples
    python deploy/check.py compose CSU_EDGE  deploy/compose.yaml
    python deploy/check.py context FOLDER    copies what .dockerignore lets through into a folder

CSU_EDGE is the program, whose own `check` judges each configuration. scripts/check-deploy calls it with
what it needs (deploy/requirements.txt, openssl).
"""

import copy
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent
CHART = DEPLOY / "helm" / "csu-edge"
CASES = DEPLOY / "helm" / "cases"

# The oldest Kubernetes that Chart.yaml allows, and the newest that the schemas are of.
KUBERNETES = ["1.30", "1.37"]

# Where each document that is not Kubernetes' own is looked up.
SERVICE_MONITOR = "monitoring.coreos.com/v1"


class Failure(Exception):
    """What does not hold, in words."""


def expect(holds, what):
    if not holds:
        raise Failure(what)


def program_version():
    manifest = (DEPLOY.parent / "Cargo.toml").read_text()
    return re.search(r'^version = "(.+)"$', manifest, re.M).group(1)


# --- The chart ---------------------------------------------------------------------------------------


def check_chart(csu_edge):
    cases = sorted(CASES.glob("*.yaml")) + sorted((CHART / "examples").glob("*.yaml"))
    expect(len(cases) > 2, f"no value sets in {CASES}")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    expect(chart["appVersion"] == program_version(), f"the chart is of csu-edge {chart['appVersion']}")
    with tempfile.TemporaryDirectory() as made:
        pair = make_certificate(Path(made))
        for case in cases:
            said = re.match(r"# says: (.+)", case.read_text())
            values = yaml.safe_load(case.read_text())
            try:
                if said:
                    refuse(values, said.group(1).strip())
                    print(f"  refused, as it must be: {case.name}")
                else:
                    documents = render(values)
                    for document in documents:
                        check_manifest(document)
                    check_together(values, documents)
                    check_configuration(csu_edge, documents, pair)
                    print(f"  {case.name}: {', '.join(document['kind'] for document in documents)}")
            except Failure as failure:
                raise Failure(f"{case.name}: {failure}") from None


def render(values):
    from helm_python import Chart, HelmError, lint

    report = lint(CHART, values, strict=True, kube_version="v1.30.0")
    expect(report["total_charts_linted"] == 1, f"nothing was linted: {report}")
    bad = [message["error"] for message in report["messages"] if message["severity"] >= 2]
    expect(not bad and not report["errors"], f"helm lint: {bad or report['errors']}")
    try:
        with Chart.load(CHART) as chart:
            files = chart.render(values, name="edge", namespace="shop")
    except HelmError as error:
        raise Failure(f"helm template: {error}") from None
    expect("csu-edge" in files["csu-edge/templates/NOTES.txt"], "NOTES.txt is empty")
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    expect(len(set(names)) == len(names), f"two documents of one name: {names}")
    return documents


def refuse(values, said):
    from helm_python import Chart, HelmError

    try:
        with Chart.load(CHART) as chart:
            chart.render(values, name="edge", namespace="shop")
    except HelmError as error:
        expect(said in str(error), f"refused, but without {said!r}: {error}")
        return
    raise Failure("it was rendered, and should have been refused")


def check_manifest(document):
    import kubernetes_validate

    if document["apiVersion"] == SERVICE_MONITOR:
        return check_service_monitor(document)
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            at = "/".join(str(step) for step in error.path)
            raise Failure(f"{document['kind']}, Kubernetes {version}, {at}: {error.message}") from None


def check_service_monitor(document):
    """By the operator's own types. They let members through that they do not know: none may be lost."""
    from cloudcoil.models.prometheus_operator import v1
    from pydantic import ValidationError

    try:
        known = v1.ServiceMonitor.model_validate(document)
    except ValidationError as error:
        raise Failure(f"ServiceMonitor: {error}") from None
    known = known.model_dump(mode="json", by_alias=True, exclude_unset=True)
    expect(known == document, f"ServiceMonitor: not all of it is known: {document}, but {known}")


def one(documents, kind):
    found = [document for document in documents if document["kind"] == kind]
    expect(len(found) <= 1, f"several of {kind}")
    return found[0] if found else None


def merged(values):
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def merge(into, new):
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value
        return into

    return merge(defaults, copy.deepcopy(values))


def check_together(values, documents):
    """What no schema sees: whether the documents fit each other and the program."""
    values = merged(values)
    deployment = one(documents, "Deployment")
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    container = pod["containers"][0]
    selects = lambda selector: selector.items() <= labels.items()

    expect(selects(deployment["spec"]["selector"]["matchLabels"]), "the Deployment does not select its pods")
    services = [document for document in documents if document["kind"] == "Service"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(ports == values["ports"], f"the container's ports are {ports}")
    for service in services:
        expect(selects(service["spec"]["selector"]), f"{service['metadata']['name']} selects no pod")
        targets = [port["targetPort"] for port in service["spec"]["ports"]]
        expect(set(targets) <= set(ports), f"{service['metadata']['name']} leads to no port")
        if "control" in targets:
            expect(service["spec"].get("clusterIP") == "None", "a balancer leads to the control listener")
    budget = one(documents, "PodDisruptionBudget")
    expect(not budget or selects(budget["spec"]["selector"]["matchLabels"]), "the budget selects no pod")
    policy = one(documents, "NetworkPolicy")
    if policy:
        expect(selects(policy["spec"]["podSelector"]["matchLabels"]), "the NetworkPolicy selects no pod")
        control = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "control"]
        expect(all(rule.get("from") for rule in control), "the control listener is open to all")
    monitor = one(documents, "ServiceMonitor")
    if monitor:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [service for service in services if wanted <= service["metadata"]["labels"].items()]
        names = [port["name"] for service in found for port in service["spec"]["ports"]]
        expect(names == ["control"], f"the ServiceMonitor finds {names}")
        job = found[0]["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        expect(job == "csu-edge", f"the job is called {job}")
    scaler = one(documents, "HorizontalPodAutoscaler")
    if scaler:
        expect("replicas" not in deployment["spec"], "the Deployment and the autoscaler both set replicas")
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                name = metric["pods"]["metric"]["name"]
                page = (DEPLOY.parent / "docs" / "operations.md").read_text()
                expect(f"`{name}`" in page, f"there is no metric {name}")

    # To leave: delay, drain, a second for the fleet and one for the control listener.
    configuration = one(documents, "ConfigMap")["data"]["config.toml"]
    delay, drain = (
        int(re.search(rf'^{name} = "(\d+)s"$', configuration, re.M).group(1))
        for name in ("drain_delay", "drain_for")
    )
    expect("lifecycle" not in container, "a hook keeps the program from hearing of its end")
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace >= delay + drain + 2, f"killed after {grace} s, waits {delay} s and drains {drain} s")
    probe = container["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    expect(noticed <= delay or delay == 0, "nobody would see that it is not ready before its listeners close")
    for probe in (container["livenessProbe"], container["readinessProbe"]):
        expect(probe["httpGet"]["port"] == "control", "a probe asks another listener")
        is_https = bool(values["tls"]["control"]["secretName"])
        expect((probe["httpGet"]["scheme"] == "HTTPS") == is_https, "a probe speaks another scheme")

    limits, requests = container["resources"]["limits"], container["resources"]["requests"]
    given = (values["resources"].get("limits") or {}).get("memory")
    expected = given or f"{memory_mib(values)}Mi"
    expect(limits["memory"] == requests["memory"] == expected, f"memory is {limits}, not {expected}")

    expect(not pod["automountServiceAccountToken"], "the pod has a token of Kubernetes'")
    expect(pod["securityContext"]["runAsNonRoot"], "the pod may be root")
    security = container["securityContext"]
    expect(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], "it is not hardened")
    expect(security["capabilities"] == {"drop": ["ALL"]}, "it keeps capabilities")


def memory_mib(values):
    """The sum that values.yaml has, worked out a second time."""
    config = values["config"]

    def size(text):
        if isinstance(text, int):
            return text
        number, unit = re.fullmatch(r"(\d+) *([A-Za-z]*)", text).groups()
        return int(number) << {"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[unit]

    total = (
        size(config["memory"]["max_bytes"])
        + (64 << 20)
        + config.get("purge", {}).get("max_tags", 4_000_000) * 74
        + config.get("limits", {}).get("connections", 20_000) * 47_000
        + size(values["memory"]["underWay"])
    )
    return -(-total // (1 << 20))


def check_configuration(csu_edge, documents, pair):
    """`csu-edge check` on the ConfigMap's file, with exactly those files beside it that the pod mounts."""
    configuration = one(documents, "ConfigMap")["data"]["config.toml"]
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    sources = next(volume for volume in pod["volumes"] if volume["name"] == "secrets")["projected"]["sources"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        used = []
        for source in sources:
            for item in next(iter(source.values()))["items"]:
                file = folder / "secrets" / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content(item["path"], pair))
                used.append(f"{mounts['secrets']}/{item['path']}")
        unused = [path for path in used if path not in configuration]
        expect(not unused, f"mounted, and not in the configuration: {unused}")
        file = folder / "config.toml"
        file.write_text(configuration.replace(mounts["secrets"], str(folder / "secrets")))
        environment = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}
        run_check(csu_edge, file, environment)


def content(path, pair):
    """Something of the kind that belongs there."""
    if path.endswith(".key"):
        return pair[1]
    if path.endswith((".crt", ".pem")):
        return pair[0]
    if path.startswith("ingestHmac"):
        return b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
    return b"not-a-secret\n"


def run_check(csu_edge, file, environment):
    ran = subprocess.run(
        [csu_edge, "check", "--config", str(file)], env=environment, capture_output=True, text=True
    )
    expect(ran.returncode == 0, f"csu-edge check: {ran.stdout}{ran.stderr}\n{file.read_text()}")


def make_certificate(folder):
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "1", "-subj", "/CN=edge", "-addext", "subjectAltName=DNS:edge",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate.read_bytes(), key.read_bytes()


# --- Compose -----------------------------------------------------------------------------------------


def check_compose(csu_edge):
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    with tempfile.TemporaryDirectory() as folder:
        secrets = Path(folder) / "secrets"
        subprocess.run([DEPLOY / "compose" / "make-secrets", secrets], check=True, capture_output=True)
        for name, service in services.items():
            try:
                check_service(compose, service, secrets)
            except Failure as failure:
                raise Failure(f"{name}: {failure}") from None
        for kind in ("secrets", "configs", "networks", "volumes"):
            used = {name for service in services.values() for name in references(service, kind)}
            unused = set(compose[kind]) - used
            expect(not unused, f"{kind} that nobody uses: {unused}")

        # What the nodes mount, as they would read it.
        mounted = DEPLOY / compose["configs"]["edge"]["file"]
        file = Path(folder) / "config.toml"
        file.write_text(mounted.read_text().replace("/run/secrets", str(secrets)))
        run_check(csu_edge, file, {})
    print(f"  {', '.join(services)}")


def references(service, kind):
    for entry in service.get(kind, []):
        if kind == "volumes":
            source = entry.split(":")[0]
            if "/" not in source:
                yield source
        else:
            yield entry["source"] if isinstance(entry, dict) else entry


def check_service(compose, service, secrets):
    expect(service.get("read_only"), "its root can be written")
    expect(service.get("cap_drop") == ["ALL"], "it keeps capabilities")
    expect("no-new-privileges:true" in service.get("security_opt", []), "it may get new privileges")
    expect("mem_limit" in service, "its memory has no limit")
    for port in service.get("ports", []):
        expect(port.startswith("127.0.0.1:"), f"{port} is published to everybody")
        expect(not port.endswith(":9600"), "a control listener is published")
    for kind in ("secrets", "configs", "networks", "volumes"):
        for name in references(service, kind):
            expect(name in compose[kind], f"{kind} has no {name}")
    for other in service.get("depends_on", {}):
        expect(other in compose["services"], f"there is no service {other}")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if "/" in source:
            expect((DEPLOY / source).is_dir(), f"it mounts {source}, which is not there")
            expect(volume.endswith(":ro"), f"{volume} can be written")
    # make-secrets makes each file that is named.
    files = [compose["secrets"][name]["file"] for name in references(service, "secrets")]
    for file in files + service.get("env_file", []):
        expect((secrets / Path(file).name).is_file(), f"make-secrets does not make {file}")
    build = service.get("build")
    if build:
        expect(service["image"].endswith(f":{program_version()}"), f"its image is {service['image']}")
        dockerfile = DEPLOY / build["context"] / build["dockerfile"]
        stages = re.findall(r"^FROM .* AS (\S+)$", dockerfile.read_text(), re.M)
        expect(build["target"] in stages, f"{dockerfile} has no stage {build['target']}")


# --- The context of the build ------------------------------------------------------------------------


def copy_context(folder):
    """As Docker reads .dockerignore: nothing (`*`), and then what is named (`!path`)."""
    root = DEPLOY.parent
    lines = (root / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    expect(rules[0] == "*", ".dockerignore must begin with nothing")
    for rule in rules[1:]:
        expect(rule.startswith("!"), f".dockerignore: {rule}")
        for found in root.glob(rule[1:]):
            target = Path(folder) / found.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target)
            else:
                shutil.copy(found, target)


def main():
    what, argument = sys.argv[1:]
    try:
        {"chart": check_chart, "compose": check_compose, "context": copy_context}[what](argument)
    except Failure as failure:
        sys.exit(f"deploy/check.py {what}: {failure}")


if __name__ == "__main__":
    main()
