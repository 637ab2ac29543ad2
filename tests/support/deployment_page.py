"""The commands of docs/deployment.md: tests/docs keeps the set exact, test_provisioned.py runs them."""

PROVISION = "scripts/provision --server localhost --nodes hospital-1,hospital-2,hospital-3,hospital-4"
SUPERLINK = "scripts/superlink federation/server"
SUPERNODES = [f"scripts/supernode federation/nodes/hospital-{n} --part {n}/4" for n in (1, 2, 3, 4)]
DOCTOR_SERVER = "scripts/doctor server federation/server"
DOCTOR_NODE = "scripts/doctor node federation/nodes/hospital-1"
VERIFY = (
    ".venv/bin/python -m app verify --server federation/server/state/runs/*/transcripts/server-*.jsonl "
    "federation/nodes/*/state/transcript.jsonl --roster federation/server/roster.json "
    '--authority "$(cat federation/server/authority.pub)" --policy federation/nodes/hospital-1/policy.toml'
)
SUBMIT = "FLWR_HOME=federation/submit .venv/bin/flwr run . chorus --stream -c federation/submit/run.toml"

FIVE = (
    "scripts/provision --server fl.example.org --nodes hospital-1,hospital-2,hospital-3,hospital-4,hospital-5"
)
REQUEST = "scripts/provision request --name hospital-6 --out hospital-6"
ADD = "scripts/provision --add hospital-6/hospital-6.request.json"
REVOKE = "scripts/provision --revoke hospital-2"
RENEW = "scripts/provision --renew --days 365"

ALL = {
    PROVISION, SUPERLINK, *SUPERNODES, DOCTOR_SERVER, DOCTOR_NODE, SUBMIT, VERIFY, FIVE, REQUEST, ADD, REVOKE, RENEW,
}  # fmt: skip
