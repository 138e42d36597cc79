{{/*
The sidecar in a pod, the same as the injector puts there (sidecar/injector/container.py; a test compares them).

  initContainers:
    - {{- include "sidecar-container.container" (dict "image" "registry.example.com/entitlement-sidecar:0.1.0" "upstreamPort" 8080) | nindent 6 }}
  volumes:
    {{- include "sidecar-container.volumes" (dict "rulesConfigMap" "my-rules") | nindent 4 }}

Give the application's port another name than `portName`, and let its probes name the number: the Service that targets
`http` reaches the sidecar then.

  image              required
  upstreamPort       required: the application's port, which it may open on loopback only
  portName           http: what the Service targets
  name               entitlement-sidecar
  pullPolicy         IfNotPresent
  port, adminPort    15080 and 15081: requests; health and metrics
  native             true: an init container that goes on, from Kubernetes 1.32; false: an ordinary container
  preStopSeconds     0; of an ordinary container 5, so that it outlives its place in the Service
  drainSeconds       25: at most the pod's grace period less 5, and less preStopSeconds
  shadow             false
  storeSecret        entitlement-sidecar-store: its key `url`
  settingsConfigMap  entitlement-sidecar-settings; empty: none
  cpuRequest 50m, cpuLimit none, memoryRequest 64Mi, memoryLimit 256Mi
*/}}
{{- define "sidecar-container.container" -}}
{{- $given := merge (dict) . (include "sidecar-container.defaults" . | fromYaml) -}}
{{- $image := required "sidecar-container.container: `image` is missing" $given.image -}}
{{- $upstream := required "sidecar-container.container: `upstreamPort` is missing; it is the application's port" $given.upstreamPort -}}
name: {{ $given.name }}
image: {{ $image | quote }}
imagePullPolicy: {{ $given.pullPolicy }}
args: [proxy]
{{- if $given.native }}
restartPolicy: Always
{{- end }}
{{- with $given.settingsConfigMap }}
envFrom:
  - configMapRef: {name: {{ . }}, optional: true}
{{- end }}
env:
  - {name: SIDECAR_UPSTREAM_URL, value: "http://127.0.0.1:{{ $upstream }}"}
  - {name: SIDECAR_UPSTREAM_PRESERVE_HOST, value: "true"}
  - {name: SIDECAR_PROXY_LISTEN, value: "0.0.0.0:{{ $given.port }}"}
  - {name: SIDECAR_PROXY_ADMIN_LISTEN, value: "0.0.0.0:{{ $given.adminPort }}"}
  - {name: SIDECAR_PROXY_TRUST_FORWARDED, value: "true"}
  - {name: SIDECAR_PROXY_SHADOW, value: {{ $given.shadow | quote }}}
  - {name: SIDECAR_RULES_PATHS, value: /etc/sidecar/rules}
  - {name: SIDECAR_DATA_DIR, value: /var/lib/sidecar}
  - {name: SIDECAR_TIMEOUTS_SHUTDOWN_S, value: {{ $given.drainSeconds | quote }}}
  - {name: SIDECAR_LOG_FORMAT, value: json}
  - name: SIDECAR_STORE_URL
    valueFrom: {secretKeyRef: {name: {{ $given.storeSecret }}, key: url}}
ports:
  - {name: {{ $given.portName }}, containerPort: {{ $given.port }}, protocol: TCP}
  - {name: sidecar-admin, containerPort: {{ $given.adminPort }}, protocol: TCP}
startupProbe:
  httpGet: {path: /healthz, port: {{ $given.adminPort }}, scheme: HTTP}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ $given.adminPort }}, scheme: HTTP}
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ $given.adminPort }}, scheme: HTTP}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- with $given.preStopSeconds }}
lifecycle:
  preStop: {sleep: {seconds: {{ . }}}}
{{- end }}
{{- include "sidecar-container.resources" $given }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  privileged: false
  readOnlyRootFilesystem: true
  runAsGroup: 10001
  runAsNonRoot: true
  runAsUser: 10001
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: entitlement-sidecar-rules, mountPath: /etc/sidecar/rules, readOnly: true}
  - {name: entitlement-sidecar-data, mountPath: /var/lib/sidecar, subPath: {{ $given.name }}}
  # Where something is mounted already, no token of the pod's service account is: the sidecar needs none.
  - {name: entitlement-sidecar-data, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, subPath: no-token, readOnly: true}
{{- end }}

{{- define "sidecar-container.defaults" -}}
{{- $native := ne (toString (get . "native")) "false" -}}
name: entitlement-sidecar
pullPolicy: IfNotPresent
portName: http
port: 15080
adminPort: 15081
native: {{ $native }}
preStopSeconds: {{ ternary 0 5 $native }}
drainSeconds: 25
shadow: false
storeSecret: entitlement-sidecar-store
settingsConfigMap: entitlement-sidecar-settings
cpuRequest: 50m
cpuLimit: ""
memoryRequest: 64Mi
memoryLimit: 256Mi
{{- end }}

{{- define "sidecar-container.resources" }}
{{- if or .cpuRequest .memoryRequest .cpuLimit .memoryLimit }}
resources:
  {{- if or .cpuRequest .memoryRequest }}
  requests:
    {{- with .cpuRequest }}
    cpu: {{ . | quote }}
    {{- end }}
    {{- with .memoryRequest }}
    memory: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- if or .cpuLimit .memoryLimit }}
  limits:
    {{- with .cpuLimit }}
    cpu: {{ . | quote }}
    {{- end }}
    {{- with .memoryLimit }}
    memory: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Its volumes: `rulesConfigMap` is a ConfigMap whose files are the rules. */}}
{{- define "sidecar-container.volumes" -}}
- name: entitlement-sidecar-rules
  configMap: {name: {{ required "sidecar-container.volumes: `rulesConfigMap` is missing" .rulesConfigMap }}}
- name: entitlement-sidecar-data
  emptyDir: {sizeLimit: 128Mi}
{{- end }}
