{{/* Which pods are in scope: the same for the webhook, the second lock and the mutating policy. */}}

{{- define "sidecar.podsCreated" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
{{- end }}

{{/* Labels, so that the API server asks nobody about other pods. What the cluster and this release need to live is out. */}}
{{- define "sidecar.scope" -}}
namespaceSelector:
  matchExpressions:
    - {key: entitlement-sidecar.io/injection, operator: In, values: [enabled]}
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}]}
objectSelector:
  matchExpressions:
    - {key: entitlement-sidecar.io/inject, operator: NotIn, values: ["false"]}
{{- end }}
