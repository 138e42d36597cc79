{{/*
A piece of a pod as a CEL expression: `value`, which belongs at `path`, such as Object.spec.initContainers.

CEL in Kubernetes wants a type for each object, named by its path, and entries of one type in maps; so the container
of the library chart is rendered with marks where something depends on the pod, and translated. A mark is CEL between « and ».
*/}}
{{- define "sidecar.cel" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- if has (splitList "." $path | last) (list "requests" "limits" "annotations" "labels") -}}
{{- include "sidecar.celMap" .value -}}
{{- else -}}
{{- $fields := list -}}
{{- range $name, $value := .value -}}
{{- $fields = append $fields (printf "%s: %s" $name (include "sidecar.cel" (dict "path" (printf "%s.%s" $path $name) "value" $value))) -}}
{{- end -}}
{{ $path }}{ {{- join ", " $fields -}} }
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value -}}
{{- $items = append $items (include "sidecar.cel" (dict "path" $path "value" .)) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "string" .value -}}
{{- include "sidecar.celText" .value -}}
{{- else -}}
{{- toJson .value -}}
{{- end -}}
{{- end }}

{{- define "sidecar.celText" -}}
{{- regexReplaceAll "«([^»]*)»" (squote .) "' + ${1} + '" | replace "'' + " "" | replace " + ''" "" -}}
{{- end }}

{{/* An entry whose text is empty is none. */}}
{{- define "sidecar.celMap" -}}
{{- $entries := list -}}
{{- range $name, $value := . -}}
{{- $text := include "sidecar.celText" $value -}}
{{- $entries = append $entries (printf "?'%s': %s == '' ? optional.none() : optional.of(%s)" $name $text $text) -}}
{{- end -}}
{ {{- join ", " $entries -}} }
{{- end }}

{{/* The text of an annotation, or a default: `name` and `default`. */}}
{{- define "sidecar.celWish" -}}
'entitlement-sidecar.io/{{ .name }}' in variables.annotations ? variables.annotations['entitlement-sidecar.io/{{ .name }}'] : {{ squote (toString .default) }}
{{- end }}
