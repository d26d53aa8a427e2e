CREATE TABLE "label_stops" (
	"repository_id" text NOT NULL,
	"label" text NOT NULL,
	"by" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL,
	"until" bigint,
	CONSTRAINT "label_stops_repository_id_label_pk" PRIMARY KEY("repository_id","label")
);
--> statement-breakpoint
ALTER TABLE "label_stops" ADD CONSTRAINT "label_stops_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;