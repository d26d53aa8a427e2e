CREATE TABLE "quarantine_orders" (
	"repository_id" text NOT NULL,
	"subject" text NOT NULL,
	"commit" text NOT NULL,
	"reason" text NOT NULL,
	"by" text NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "quarantine_orders_repository_id_subject_commit_pk" PRIMARY KEY("repository_id","subject","commit")
);
--> statement-breakpoint
ALTER TABLE "quarantine_orders" ADD CONSTRAINT "quarantine_orders_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;