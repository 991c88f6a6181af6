{{- define "castgate.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "castgate.selector" -}}
app.kubernetes.io/name: castgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "castgate.labels" -}}
{{ include "castgate.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The most nodes that there may be. */ -}}
{{- define "castgate.most" -}}
{{- if eq .Values.autoscaling.kind "none" }}{{ .Values.replicas }}{{ else }}{{ .Values.autoscaling.maxReplicas }}{{ end -}}
{{- end }}

{{- /* Seconds that Kubernetes waits: settling, draining, and ten to say goodbye. */ -}}
{{- define "castgate.grace" -}}
{{- add .Values.drain.settleSeconds .Values.drain.seconds 10 -}}
{{- end }}

{{- /* The URL of a node, with its name still a variable. */ -}}
{{- define "castgate.nodeUrl" -}}
{{- if .Values.nodeUrl }}{{ .Values.nodeUrl }}{{ else }}https://$(SERVER_ID).{{ .Values.ingress.host }}{{ end -}}
{{- end }}

{{- /* What no schema can say. */ -}}
{{- define "castgate.check" -}}
{{- if and (eq .Values.rtc.mode "loadBalancer") (lt (len .Values.rtc.loadBalancer.addresses) (int (include "castgate.most" .))) }}
{{- fail (printf "rtc.loadBalancer.addresses has %d addresses, and there may be %s nodes" (len .Values.rtc.loadBalancer.addresses) (include "castgate.most" .)) }}
{{- end }}
{{- if and (not .Values.ingress.enabled) (not .Values.nodeUrl) }}
{{- fail "without an ingress, nodeUrl must tell how studios and other nodes reach a node" }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
