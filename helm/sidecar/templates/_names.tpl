{{/* Names, labels, and what every pod of the chart has. */}}

{{- define "sidecar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* For objects without a namespace: two releases of one name must not meet. */}}
{{- define "sidecar.clusterName" -}}
{{- printf "%s-%s" (include "sidecar.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "sidecar.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sidecar.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "sidecar.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: entitlement-sidecar
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: root, component, name and, where it is not the release's, namespace ("-" for none). */}}
{{- define "sidecar.metadata" -}}
name: {{ .name }}
{{- $namespace := default .root.Release.Namespace .namespace }}
{{- if ne $namespace "-" }}
namespace: {{ $namespace }}
{{- end }}
labels:
  {{- include "sidecar.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sidecar.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* As `helm` knows the cluster, or as the values say where it cannot. */}}
{{- define "sidecar.kubernetesVersion" -}}
{{- default .Capabilities.KubeVersion.Version .Values.injection.kubernetesVersion | trimPrefix "v" -}}
{{- end }}

{{- define "sidecar.kubernetesMinor" -}}
{{- (split "." (include "sidecar.kubernetesVersion" .))._1 | regexFind "^[0-9]+" -}}
{{- end }}

{{/* What Pod Security *restricted* asks of a pod, and a little more. */}}
{{- define "sidecar.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sidecar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The rest of a pod's spec that all of ours share: root, and the values of its component. */}}
{{- define "sidecar.placement" -}}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Pods of one component on different nodes where there are some. */}}
{{- define "sidecar.apart" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "sidecar.selector" . | nindent 14 }}
{{- end }}

{{- define "sidecar.storeSecret" -}}
{{- default (printf "%s-store" (include "sidecar.fullname" .)) .Values.store.existingSecret -}}
{{- end }}

{{- define "sidecar.adminSecret" -}}
{{- default (printf "%s-admin" (include "sidecar.fullname" .)) .Values.admin.existingSecret -}}
{{- end }}

{{- define "sidecar.tlsSecret" -}}
{{- if eq .Values.webhook.tls.mode "existingSecret" -}}
{{- .Values.webhook.tls.existingSecret -}}
{{- else -}}
{{- include "sidecar.fullname" . }}-injector-tls
{{- end -}}
{{- end }}

{{- define "sidecar.rulesConfigMap" -}}
{{- default (printf "%s-rules" (include "sidecar.fullname" .)) .Values.rules.existingConfigMap -}}
{{- end }}

{{/* The ConfigMap with the rules in the namespaces of the pods. */}}
{{- define "sidecar.podRules" -}}
{{- default .Values.injection.rulesConfigMap .Values.rules.existingConfigMap -}}
{{- end }}

{{/* `settings` as variables: `timeouts.total_s` is SIDECAR_TIMEOUTS_TOTAL_S. */}}
{{- define "sidecar.settings" -}}
{{- range $name, $value := .Values.settings }}
SIDECAR_{{ $name | upper | replace "." "_" }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* Rule files by name, as text. */}}
{{- define "sidecar.rules" -}}
{{- range $name, $file := .Values.rules.files }}
{{ $name }}: |
  {{- ternary $file (toYaml $file) (kindIs "string" $file) | nindent 2 }}
{{- end }}
{{- end }}
