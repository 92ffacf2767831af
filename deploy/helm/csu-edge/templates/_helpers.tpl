{{- define "csu-edge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52, so that "-storefront" still fits. */}}
{{- define "csu-edge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "csu-edge.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "csu-edge.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "csu-edge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "csu-edge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "csu-edge.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "csu-edge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "csu-edge.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "csu-edge.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "csu-edge.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What would not work is said here, in words, and not by pods that do not start. What a value must be by
     itself is in values.schema.json. */}}
{{- define "csu-edge.validate" -}}
{{- $redis := dig "redis" "url" "" .Values.config -}}
{{- if and (not .Values.secrets.ingestHmac) (not .Values.secrets.ingestBearer) (not .Values.tls.ingest.clientCa) -}}
{{- fail "nobody could push events: set secrets.ingestHmac, secrets.ingestBearer or tls.ingest.clientCa" -}}
{{- end -}}
{{- if and .Values.tls.ingest.clientCa (not .Values.tls.ingest.secretName) -}}
{{- fail "tls.ingest.clientCa needs tls.ingest.secretName" -}}
{{- end -}}
{{- if and (not $redis) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "several nodes need config.redis.url: without it each would have to be sent every event. Set it, or replicas: 1 without autoscaling" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.connections) -}}
{{- fail "autoscaling goes by nothing: set autoscaling.cpuPercent or autoscaling.connections" -}}
{{- end -}}
{{- range $name := list "redisPassword" "redisSentinelPassword" "redisPartitionSecret" -}}
{{- if and (index $.Values.secrets $name) (not $redis) -}}
{{- fail (printf "secrets.%s needs config.redis.url" $name) -}}
{{- end -}}
{{- end -}}
{{- $purge := dig "redis" "purge" "url" "" .Values.config -}}
{{- range $name := list "redisPurgePassword" "redisPurgeSentinelPassword" -}}
{{- if and (index $.Values.secrets $name) (not $purge) -}}
{{- fail (printf "secrets.%s needs config.redis.purge.url" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where secrets and certificates are mounted. */}}
{{- define "csu-edge.secretsPath" -}}/run/secrets/csu-edge{{- end -}}

{{/* The whole configuration, as YAML: that of the values, and what the chart adds. */}}
{{- define "csu-edge.config" -}}
{{- $root := include "csu-edge.secretsPath" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $ports := .Values.ports -}}
{{- $listen := dict "workers" (int .Values.workers) "drain_delay" (printf "%ds" (int .Values.drain.delaySeconds)) "drain_for" (printf "%ds" (int .Values.drain.seconds)) -}}
{{- range $listener := list "storefront" "ingest" "control" -}}
{{- $_ := set $listen $listener (printf "%s:%d" $.Values.listenHost (int (index $ports $listener))) -}}
{{- end -}}
{{- $_ := set $config "listen" $listen -}}
{{- $tls := dict -}}
{{- range $listener := list "storefront" "ingest" "control" -}}
{{- $of := index $.Values.tls $listener -}}
{{- if $of.secretName -}}
{{- $table := dict "certificate" (printf "%s/tls-%s/tls.crt" $root $listener) "private_key" (printf "%s/tls-%s/tls.key" $root $listener) -}}
{{- if $of.minimumVersion -}}{{- $_ := set $table "minimum_version" $of.minimumVersion -}}{{- end -}}
{{- if $of.clientCa -}}{{- $_ := set $table "client_ca" (printf "%s/tls-%s/client-ca.pem" $root $listener) -}}{{- end -}}
{{- $_ := set $tls $listener $table -}}
{{- end -}}
{{- end -}}
{{- if $tls -}}{{- $_ := set $config "tls" $tls -}}{{- end -}}
{{- $ingest := default dict $config.ingest -}}
{{- range $kind, $key := dict "ingestHmac" "hmac_secrets" "ingestBearer" "bearer_tokens" -}}
{{- $files := list -}}
{{- range $index, $_ := index $.Values.secrets $kind -}}
{{- $files = append $files (printf "file:%s/%s-%d" $root $kind $index) -}}
{{- end -}}
{{- if $files -}}{{- $_ := set $ingest $key $files -}}{{- end -}}
{{- end -}}
{{- $_ := set $config "ingest" $ingest -}}
{{- if .Values.trust.originCa -}}
{{- $_ := set $config.origin "ca_file" (printf "%s/originCa.pem" $root) -}}
{{- end -}}
{{- if $config.redis -}}
{{- $redis := $config.redis -}}
{{- range $kind, $key := dict "redisPassword" "password" "redisSentinelPassword" "sentinel_password" "redisPartitionSecret" "partition_secret" -}}
{{- if index $.Values.secrets $kind -}}{{- $_ := set $redis $key (printf "file:%s/%s" $root $kind) -}}{{- end -}}
{{- end -}}
{{- if .Values.trust.redisCa -}}{{- $_ := set $redis "ca_file" (printf "%s/redisCa.pem" $root) -}}{{- end -}}
{{- if .Values.clientCertificates.redis.secretName -}}
{{- $_ := set $redis "certificate" (printf "%s/client-redis/tls.crt" $root) -}}
{{- $_ := set $redis "private_key" (printf "%s/client-redis/tls.key" $root) -}}
{{- end -}}
{{- if dig "purge" "url" "" $redis -}}
{{- $purge := $redis.purge -}}
{{- range $kind, $key := dict "redisPurgePassword" "password" "redisPurgeSentinelPassword" "sentinel_password" -}}
{{- if index $.Values.secrets $kind -}}{{- $_ := set $purge $key (printf "file:%s/%s" $root $kind) -}}{{- end -}}
{{- end -}}
{{- if .Values.trust.redisPurgeCa -}}{{- $_ := set $purge "ca_file" (printf "%s/redisPurgeCa.pem" $root) -}}{{- end -}}
{{- if .Values.clientCertificates.redisPurge.secretName -}}
{{- $_ := set $purge "certificate" (printf "%s/client-redisPurge/tls.crt" $root) -}}
{{- $_ := set $purge "private_key" (printf "%s/client-redisPurge/tls.key" $root) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* A table of TOML: its values first, then the tables in it. Helm's own toToml writes whole numbers as
     floats. Strings, numbers, booleans and lists of them are written alike in JSON and TOML. */}}
{{- define "csu-edge.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- $tables := and (kindIs "slice" $value) (gt (len $value) 0) (kindIs "map" (first $value)) -}}
{{- if not (or (kindIs "map" $value) $tables) }}
{{ $key }} = {{ toRawJson $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- $name := $key -}}
{{- if $path -}}{{- $name = printf "%s.%s" $path $key -}}{{- end -}}
{{- if kindIs "map" $value }}

[{{ $name }}]
{{- include "csu-edge.toml" (dict "path" $name "table" $value) -}}
{{- else if and (kindIs "slice" $value) (gt (len $value) 0) (kindIs "map" (first $value)) -}}
{{- range $one := $value }}

[[{{ $name }}]]
{{- include "csu-edge.toml" (dict "path" $name "table" $one) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "512MiB", or a number, in bytes. */}}
{{- define "csu-edge.bytes" -}}
{{- if kindIs "string" . -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexReplaceAll "^[0-9]+" . "" | trim -}}
{{- $factor := get (dict "" 1 "B" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776) $unit -}}
{{- if not $factor -}}{{- fail (printf "%q is no size such as 512MiB" .) -}}{{- end -}}
{{- mul $number (int64 $factor) -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* What a node needs, in MiB: values.yaml has the sum. */}}
{{- define "csu-edge.memoryMiB" -}}
{{- $config := .Values.config -}}
{{- $stored := include "csu-edge.bytes" (dig "memory" "max_bytes" "512MiB" $config) | int64 -}}
{{- $tags := dig "purge" "max_tags" 4000000 $config | int64 -}}
{{- $connections := dig "limits" "connections" 20000 $config | int64 -}}
{{- $underWay := include "csu-edge.bytes" .Values.memory.underWay | int64 -}}
{{- $bytes := add $stored 67108864 (mul $tags 74) (mul $connections 47000) $underWay -}}
{{- div (add $bytes 1048575) 1048576 -}}
{{- end -}}

{{- define "csu-edge.resources" -}}
{{- $memory := printf "%sMi" (include "csu-edge.memoryMiB" .) -}}
{{- $resources := deepCopy .Values.resources -}}
{{- $limits := merge (default dict $resources.limits) (dict "memory" $memory) -}}
{{- $requests := merge (default dict $resources.requests) (dict "memory" $limits.memory) -}}
{{- toYaml (dict "limits" $limits "requests" $requests) -}}
{{- end -}}

{{/* The ports that Redis is reached at: those that are listed, else those that its URLs name. */}}
{{- define "csu-edge.redisPorts" -}}
{{- $ports := .Values.networkPolicy.redisPorts -}}
{{- if not $ports -}}
{{- range $url := list (dig "redis" "url" "" .Values.config) (dig "redis" "purge" "url" "" .Values.config) -}}
{{- if $url -}}
{{- $hosts := regexReplaceAll "^[^/]*//([^/]*).*$" $url "${1}" -}}
{{- range $host := splitList "," $hosts -}}
{{- $named := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- $ports = append $ports (default (ternary "26379" "6379" (contains "+sentinel" $url)) $named | int) -}}
{{- end -}}
{{- /* The server that sentinels name has a port of its own. */ -}}
{{- if contains "+sentinel" $url -}}{{- $ports = append $ports 6379 -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $port := uniq $ports }}
- { protocol: TCP, port: {{ int $port }} }
{{- end -}}
{{- end -}}

{{- define "csu-edge.originPort" -}}
{{- $url := urlParse .Values.config.origin.service_root -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port -}}
{{- end -}}
