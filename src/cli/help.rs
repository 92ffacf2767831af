//! What `--help` teaches beside the arguments: examples, exit codes, where to read on. A test parses
//! every example.

pub(super) const PROGRAM: &str = "\
Start here:
  csu-edge demo
  csu-edge check --config config.toml
  csu-edge serve --config config.toml
  csu-edge explain GET '/Commerce/GetChannels()?api-version=7.3'
  csu-edge purge price/item:82000

Environment variables:
  CSU_EDGE_CONFIG          the configuration file, for serve and check
  CSU_EDGE__SECTION__KEY   a key of the configuration, such as CSU_EDGE__LISTEN__CONTROL
  CSU_EDGE_CONTROL         a node's control listener, for ready, explain and purge; over TLS also
                           CSU_EDGE_CONTROL_CACERT, _CERT and _KEY
  NO_COLOR                 set to anything, nothing is printed in bold

Exit codes: 0 done; 64 wrong usage or configuration; 69 a needed service cannot be reached (an
address that is taken, a control port where nobody listens); 70 a fault of csu-edge's own; 75 a purge
stands, and not every node that was waited for has applied it.

`csu-edge COMMAND --help` has examples of each. To read on: README.md, docs/operations.md.";

pub(super) const SERVE: &str = "\
Examples:
  csu-edge serve --config edge.toml
  CSU_EDGE__LISTEN__STOREFRONT=127.0.0.1:8080 csu-edge serve --config edge.toml

Exit codes: 0 drained after a signal; 64 a mistake in the configuration; 69 an address that is taken;
130 or 143 ended by a second signal before it was drained.

Once it runs, http://127.0.0.1:9600/console shows how it is, where `listen.control` is as shipped.
To read on: docs/operations.md, and docs/configuration.md for every setting.";

pub(super) const CHECK: &str = "\
Examples:
  csu-edge check --config edge.toml
  csu-edge check --config edge.toml && systemctl restart csu-edge

Exit codes: 0 valid; 64 not, and stdout tells every mistake.

To read on: docs/configuration.md.";

pub(super) const DEMO: &str = "\
Example:
  csu-edge demo

To read on: README.md. `csu-sandbox --help` has the stand-in by itself.";

pub(super) const EXPLAIN: &str = "\
Give it the request as the storefront sends it, header fields included: they are part of the key.

Examples:
  csu-edge explain GET '/Commerce/GetChannels()?api-version=7.3' -H 'OUN: 128'
  csu-edge explain POST '/Commerce/Products/GetActivePrices?api-version=7.3' \\
    -H 'OUN: 128' -H 'Content-Type: application/json' \\
    -d '{\"projectDomain\":{\"ChannelId\":5637154326,\"CatalogId\":0},\"productIds\":[68719489871]}'
  csu-edge explain GET '/Commerce/GetChannels()?api-version=7.3' --json | jq .verdict
  csu-edge explain GET '/Commerce/GetChannels()?api-version=7.3' --control edge-1.internal:9600

Exit codes: 0 explained; 64 the node refuses the question, stderr says why; 69 no node answers; 70
what answers is no node.

To read on: docs/operations.md, \"Explain\"; the same as a page: http://127.0.0.1:9600/console.";

pub(super) const READY: &str = "\
Examples:
  csu-edge ready
  csu-edge ready --json --control edge-1.internal:9600
  csu-edge ready --control https://edge-1.internal:9600 --cacert ca.pem --cert me.pem --key me.key

Exit codes: 0 it is ready, also where it does without something (`degraded`); 69 it is not, stderr says
why, or no node answers.

To read on: docs/operations.md, \"Probes\".";

pub(super) const PURGE: &str = "\
Tags:
  price/item:82000               the prices of an item
  product/product:68719489871    what depends on a product
  price/*                        every price
  *                              everything

Examples:
  csu-edge purge price/item:82000 price/product:68719489871
  csu-edge purge 'price/*' --wait-for-fleet
  csu-edge purge 'product/*' --soft
  csu-edge purge price/item:82000 --json | jq .sequence

Exit codes: 0 the purge stands; 64 the node refuses it, stderr says why, and nothing was purged; 69
no node answers, or its purge plane cannot be reached: ask again; 75 with --wait-for-fleet, the purge
stands, and not every live node is known to have applied it in time.

To read on: docs/operations.md, \"A price is wrong: what now\"; docs/consistency.md for what is promised.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  csu-edge completions bash > ~/.local/share/bash-completion/completions/csu-edge
  csu-edge completions zsh > ~/.zfunc/_csu-edge
  csu-edge completions fish > ~/.config/fish/completions/csu-edge.fish

zsh looks in ~/.zfunc where ~/.zshrc has `fpath+=~/.zfunc` before `compinit`.";
