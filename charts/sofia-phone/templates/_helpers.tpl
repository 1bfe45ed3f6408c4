{{/* What every object's name begins with. */}}
{{- define "sofia-phone.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sofia-phone.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (printf "%s-operator" (include "sofia-phone.fullname" .)) -}}
{{- end -}}

{{/* By these the operator's pods are found; they never change for the life of a release, since selectors can't. */}}
{{- define "sofia-phone.selectorLabels" -}}
app.kubernetes.io/name: sofia-phone-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What names of objects that belong to no namespace begin with: two releases of one name, in two namespaces, have their own. */}}
{{- define "sofia-phone.clusterName" -}}
{{- printf "%s-%s" (include "sofia-phone.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* One Lease a class: operators of different classes work side by side. */}}
{{- define "sofia-phone.lease" -}}
{{- with .Values.operatorClass }}{{ printf "sofia-phone-operator-%s" . | lower | replace "_" "-" }}{{ else }}sofia-phone-operator{{ end -}}
{{- end -}}

{{- define "sofia-phone.labels" -}}
{{ include "sofia-phone.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sofia-phone
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sofia-phone.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "sofia-phone.dataPlaneImage" -}}
{{- .Values.trunkImages.dataPlane | default (printf "sofia-phone/dataplane:%s" .Chart.AppVersion) -}}
{{- end -}}

{{/* What restricted pod security asks of a container, and a bit more. */}}
{{- define "sofia-phone.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "sofia-phone.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
