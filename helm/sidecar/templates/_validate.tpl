{{/*
Values that are right alone and cannot be together. Each fails with a sentence that names both and says what would do.
The schema has seen to everything about single values.
*/}}
{{- define "sidecar.validate" -}}
{{- include "sidecar.validateStore" . -}}
{{- include "sidecar.validateRules" . -}}
{{- include "sidecar.validateControl" . -}}
{{- include "sidecar.validateInjection" . -}}
{{- include "sidecar.validateWebhook" . -}}
{{- include "sidecar.validateSettings" . -}}
{{- include "sidecar.validateNetwork" . -}}
{{- end }}

{{- define "sidecar.validateStore" -}}
{{- with .Values.store -}}
{{- if and .url .existingSecret -}}
{{- fail "store.url and store.existingSecret are both set: the store has one address. Remove one of them." -}}
{{- end -}}
{{- if and .bundled.enabled (or .url .existingSecret) -}}
{{- fail (printf "store.bundled.enabled is true and store.%s is set: the store has one address. Remove one of them." (ternary "url" "existingSecret" (ne .url ""))) -}}
{{- end -}}
{{- if not (or .url .existingSecret .bundled.enabled) -}}
{{- fail "None of store.url, store.existingSecret and store.bundled.enabled is set: set one of them; store.bundled.enabled=true is good for a trial." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateRules" -}}
{{- if and .Values.rules.files .Values.rules.existingConfigMap -}}
{{- fail "rules.files and rules.existingConfigMap are both set: the rules are in one place. Remove one of them." -}}
{{- end -}}
{{- if and .Values.egress.gateways (not (or .Values.rules.files .Values.rules.existingConfigMap)) -}}
{{- fail "egress.gateways has proxies, and neither rules.files nor rules.existingConfigMap says what their requests cost. Set one of them." -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateControl" -}}
{{- $control := .Values.control -}}
{{- if not .Values.archive.existingSecret -}}
{{- if gt (int $control.replicas) 1 -}}
{{- fail (printf "control.replicas is %d and archive.existingSecret is empty: several processes cannot share a file of SQLite. Name a Secret with a PostgreSQL address in archive.existingSecret, or set control.replicas=1." (int $control.replicas)) -}}
{{- end -}}
{{- if $control.hpa.enabled -}}
{{- fail "control.hpa.enabled is true and archive.existingSecret is empty: several processes cannot share a file of SQLite. Name a Secret with a PostgreSQL address in archive.existingSecret, or set control.hpa.enabled=false." -}}
{{- end -}}
{{- end -}}
{{- if and $control.hpa.enabled (gt (int $control.hpa.minReplicas) (int $control.hpa.maxReplicas)) -}}
{{- fail (printf "control.hpa.minReplicas is %d and control.hpa.maxReplicas is %d: the fewest cannot be more than the most." (int $control.hpa.minReplicas) (int $control.hpa.maxReplicas)) -}}
{{- end -}}
{{- if and $control.hpa.enabled (not (dig "requests" "cpu" "" $control.resources)) -}}
{{- fail "control.hpa.enabled is true and control.resources.requests.cpu is not set: there is nothing to take control.hpa.targetCPUPercent of. Set it." -}}
{{- end -}}
{{- $fewest := ternary (int $control.hpa.minReplicas) (int $control.replicas) $control.hpa.enabled -}}
{{- if and $control.pdb.enabled (lt $fewest 2) -}}
{{- fail (printf "control.pdb.enabled is true and control.%s is 1: no node could be drained. Run two, or set control.pdb.enabled=false." (ternary "hpa.minReplicas" "replicas" $control.hpa.enabled)) -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateInjection" -}}
{{- $minor := int (include "sidecar.kubernetesMinor" .) -}}
{{- $version := include "sidecar.kubernetesVersion" . -}}
{{- if and .Values.injector.enabled .Values.mutatingPolicy.enabled -}}
{{- fail "injector.enabled and mutatingPolicy.enabled are both true: pods are injected in one way. Set one of them to false." -}}
{{- end -}}
{{- if and .Values.mutatingPolicy.enabled (lt $minor 36) -}}
{{- fail (printf "mutatingPolicy.enabled is true and Kubernetes is %s (injection.kubernetesVersion says so, or the cluster): MutatingAdmissionPolicy came with 1.36. Set injector.enabled=true and mutatingPolicy.enabled=false." $version) -}}
{{- end -}}
{{- if and .Values.mutatingPolicy.enabled (eq .Values.injection.mode "container") -}}
{{- fail "mutatingPolicy.enabled is true and injection.mode is container: the policy injects native sidecars. Set injection.mode=auto, or use the injector." -}}
{{- end -}}
{{- $injecting := or .Values.injector.enabled .Values.mutatingPolicy.enabled -}}
{{- if and $injecting .Values.secondLock.enabled (lt $minor 30) -}}
{{- fail (printf "secondLock.enabled is true and Kubernetes is %s (injection.kubernetesVersion says so, or the cluster): ValidatingAdmissionPolicy came with 1.30. Set secondLock.enabled=false." $version) -}}
{{- end -}}
{{- if and .Values.secondLock.everyPod (not .Values.secondLock.enabled) -}}
{{- fail "secondLock.everyPod is true and secondLock.enabled is false: nothing would be denied. Set secondLock.enabled=true." -}}
{{- end -}}
{{- if has .Release.Namespace .Values.injection.namespaces -}}
{{- fail (printf "injection.namespaces has %s, which is the release's namespace (helm --namespace): pods are never injected there, so that the injector does not wait for itself. Install the release elsewhere, or remove it." .Release.Namespace) -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateWebhook" -}}
{{- if .Values.injector.enabled -}}
{{- $tls := .Values.webhook.tls -}}
{{- if and (eq $tls.mode "existingSecret") (not $tls.existingSecret) -}}
{{- fail "webhook.tls.mode is existingSecret and webhook.tls.existingSecret is empty: name the Secret with tls.crt and tls.key." -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") (not $tls.caBundle) -}}
{{- fail "webhook.tls.mode is existingSecret and webhook.tls.caBundle is empty: the API server must know who signed the certificate." -}}
{{- end -}}
{{- if and (ne $tls.mode "existingSecret") $tls.existingSecret -}}
{{- fail (printf "webhook.tls.existingSecret is set and webhook.tls.mode is %s: it would not be used. Set webhook.tls.mode=existingSecret, or remove it." $tls.mode) -}}
{{- end -}}
{{- if and (ne $tls.mode "existingSecret") $tls.caBundle -}}
{{- fail (printf "webhook.tls.caBundle is set and webhook.tls.mode is %s: it would not be used. Set webhook.tls.mode=existingSecret, or remove it." $tls.mode) -}}
{{- end -}}
{{- if and (ne $tls.mode "certManager") $tls.issuerRef.name -}}
{{- fail (printf "webhook.tls.issuerRef.name is %s and webhook.tls.mode is %s: it would not be used. Set webhook.tls.mode=certManager, or remove it." $tls.issuerRef.name $tls.mode) -}}
{{- end -}}
{{- if and .Values.injector.pdb.enabled (lt (int .Values.injector.replicas) 2) -}}
{{- fail "injector.pdb.enabled is true and injector.replicas is 1: no node could be drained. Set injector.replicas=2, or injector.pdb.enabled=false." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateSettings" -}}
{{- $elsewhere := dict
  "admin.key" "admin.existingSecret" "archive.url" "archive.existingSecret" "store.url" "store.url" "tokens.key" ""
  "upstream.headers" "egress.gateways" "upstream.url" "egress.gateways" "upstream.urls" "" "rules.paths" "rules.files" "data.dir" ""
  "control.listen" "" "control.url" "" "proxy.listen" "" "proxy.admin_listen" "" "log.format" "" -}}
{{- range $name, $value := .Values.settings -}}
{{- if hasKey $elsewhere $name -}}
{{- with get $elsewhere $name -}}
{{- fail (printf "settings has %q, which the chart sets: use %s." $name .) -}}
{{- end -}}
{{- fail (printf "settings has %q, which is a secret or which the chart sets itself. Remove it." $name) -}}
{{- end -}}
{{- if hasPrefix "injector." $name -}}
{{- fail (printf "settings has %q, which the chart sets: use injector and injection." $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sidecar.validateNetwork" -}}
{{- if and .Values.networkPolicy.sidecars (not .Values.injection.namespaces) -}}
{{- fail "networkPolicy.sidecars is true and injection.namespaces is empty: there is nowhere to put the policy. Name the namespaces." -}}
{{- end -}}
{{- if and .Values.egress.networkPolicy (not .Values.injection.namespaces) -}}
{{- fail "egress.networkPolicy is true and injection.namespaces is empty: there is nowhere to put the policy. Name the namespaces." -}}
{{- end -}}
{{- if and .Values.egress.allow (not .Values.egress.networkPolicy) -}}
{{- fail "egress.allow has rules and egress.networkPolicy is false: nothing would be denied. Set egress.networkPolicy=true." -}}
{{- end -}}
{{- range $name, $gateway := .Values.egress.gateways -}}
{{- if ne (empty $gateway.header) (empty $gateway.existingSecret) -}}
{{- fail (printf "egress.gateways.%s has only one of header and existingSecret: the header carries the Secret's key. Set both, or neither." $name) -}}
{{- end -}}
{{- if eq (lower (default "" $gateway.header)) "authorization: ${key}" -}}
{{- fail (printf "egress.gateways.%s.header is %q, without a scheme: say which, such as \"Authorization: Bearer ${KEY}\"." $name $gateway.header) -}}
{{- end -}}
{{- end -}}
{{- end }}
