CREATE TABLE "builds_under_way" (
	"repository_id" text PRIMARY KEY NOT NULL,
	"revision_id" text NOT NULL,
	"builds" jsonb NOT NULL
);
--> statement-breakpoint
ALTER TABLE "builds_under_way" ADD CONSTRAINT "builds_under_way_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "builds_under_way" ADD CONSTRAINT "builds_under_way_revision_id_revisions_id_fk" FOREIGN KEY ("revision_id") REFERENCES "public"."revisions"("id") ON DELETE cascade ON UPDATE no action;